// Another user on the same device.

import type { DataSource } from 'typeorm'
import { UnpushedChangesError } from '../errors.js'
import { countUnpushed, forgetServers, removeEverything } from '../sync/handOver.js'
import { hasServer, openServers } from './feeds.js'
import { changeLogOf } from './registry.js'

/**
 * Signs a user out of this device: removes all rows of synced entities, what is pending, the journal, and everything that is remembered of
 * servers. `confirm` is asked first where rows hold something that no server has, and given how many; without it that is an
 * UnpushedChangesError, and nothing is removed. Resolves to whether everything was removed. Throws ConstraintError where rows of a table that is
 * not synced need one of these rows.
 */
export async function wipe(dataSource: DataSource, confirm?: (unpushed: number) => boolean | Promise<boolean>): Promise<boolean> {
  const log = changeLogOf(dataSource)
  /** The stamp of the last change that the user was asked about. */
  let confirmed: number | undefined
  for (;;) {
    const { unpushed, now } = await log.database.transaction(
      function* () {
        const { now } = yield* log.database.clock()
        // what was changed while the user was asked is asked about as well
        const unpushed = now === confirmed ? 0 : yield* countUnpushed(log, collection => hasServer(dataSource, collection))
        if (!unpushed) yield* removeEverything(log)
        return { unpushed, now }
      },
      { durable: true },
    )
    if (!unpushed) break
    if (!confirm) throw new UnpushedChangesError(unpushed)
    if (!(await confirm(unpushed))) return false
    confirmed = now
  }
  await openServers(log)
  await log.database.save()
  return true
}

/**
 * Makes the rows that are here the next user's: what was agreed with servers is forgotten, the rows stay, and the next sync pushes them all as
 * new ones. For rows that were made before anybody signed in; a column that names the owner is the application's to set.
 */
export async function adopt(dataSource: DataSource): Promise<void> {
  const log = changeLogOf(dataSource)
  await log.database.transaction(() => forgetServers(log), { durable: true })
  await openServers(log)
  await log.database.save()
}
