import type { ClockStatements } from '../clock.js'
import { first, query, type Transaction } from '../statement.js'

export const NOW = '(SELECT `now` FROM sync_clock)'
export const WALL_CLOCK = 'CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)'

/** `wallClock` is SQL for milliseconds since 1/1/1970. */
export const tickSql = (wallClock: string) => `UPDATE sync_clock SET \`now\` = GREATEST(${wallClock}, \`now\` + 1)`

/** Begins a transaction that holds the clock. It reads what is committed: nothing that is captured can be written until it ends. */
export const BEGIN_TO_WRITE = [
  'SET TRANSACTION ISOLATION LEVEL READ COMMITTED',
  'START TRANSACTION',
  'SELECT `now` FROM sync_clock FOR UPDATE',
]

export function* lockClock(): Transaction<void> {
  for (const sql of BEGIN_TO_WRITE) yield* query(sql)
}

export const clockStatements = (wallClock: string): ClockStatements => ({
  *clock() {
    const row = yield* first('SELECT `now`, collection, horizon FROM sync_clock')
    return { now: Number(row?.now), collection: String(row?.collection), horizon: Number(row?.horizon) }
  },

  *tick() {
    yield* query(tickSql(wallClock))
    const row = yield* first(`SELECT ${NOW} AS "now"`)
    return Number(row?.now)
  },

  // biome-ignore lint/correctness/useYield: nothing tells of the tables that are not synced
  *mark() {
    return undefined
  },

  // A primary server that was set read-only for a while says 503 for a moment; a replica that may be written counts as a server of its own.
  *isReplica() {
    const row = yield* first('SELECT @@GLOBAL.read_only AS is_read_only')
    return !['0', 'OFF'].includes(String(row?.is_read_only))
  },

  *bypassCapture(isBypassed) {
    // until here statements of ours were committed one by one
    if (isBypassed) yield* lockClock()
    yield* query(`SET @sync_bypass = ${isBypassed ? '1' : 'NULL'}`)
  },
})
