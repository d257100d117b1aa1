import { SyncConfigurationError } from '../../errors.js'
import type { Connection } from './connection.js'

/** What the sessions of a pool have in common. Read once: values are written into the statements' text, so it must be read as it is written. */
export class Session {
  /** Characters that a statement may have; undefined before it was read. */
  longest: number | undefined

  /** Throws SyncConfigurationError where a session reads texts in another way. */
  async check(connection: Connection): Promise<void> {
    if (this.longest !== undefined) return
    const [row] = await connection.run(
      'SELECT @@max_allowed_packet AS packet, @@sql_mode AS mode, @@character_set_client AS client, @@character_set_connection AS connection',
    )
    if (/NO_BACKSLASH_ESCAPES/.test(String(row?.mode)))
      throw new SyncConfigurationError(
        'The sql_mode NO_BACKSLASH_ESCAPES is not supported; take it out of the server’s, or the connection’s, sql_mode.',
      )
    if (row?.client !== 'utf8mb4' || row?.connection !== 'utf8mb4')
      throw new SyncConfigurationError(
        `The connection’s character set is ${row?.client}, which cannot hold every text; leave the data source’s option charset out, or set it to utf8mb4.`,
      )
    this.longest = Number(row?.packet) / 4
  }

  /** The server would close the connection. */
  isTooLong(sql: string): boolean {
    return this.longest !== undefined && sql.length > this.longest && new TextEncoder().encode(sql).length >= 4 * this.longest
  }
}
