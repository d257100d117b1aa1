// Another user on the same device.

import type { DataSource } from 'typeorm'
import type { ChangeLog } from '../changes/changeLog.js'
import type { Transaction } from '../databases/database.js'
import { UnpushedChangesError } from '../errors.js'
import { countKeptApart, countUnpushed, forgetServers, removeEverything } from '../sync/handOver.js'
import { hasServer, openServers } from './feeds.js'
import { changeLogOf } from './registry.js'

/** Is asked before something is lost that no server has, and given how many rows hold that. */
export type Confirm = (unpushed: number) => boolean | Promise<boolean>

/**
 * Signs a user out of this device: removes all rows of synced entities, what is pending, the journal, and everything that is remembered of
 * servers. `confirm` is asked first where rows hold something that no server has, and given how many; without it that is an
 * UnpushedChangesError, and nothing is removed. Resolves to whether everything was removed. Throws ConstraintError where rows of a table that is
 * not synced need one of these rows.
 */
export function wipe(dataSource: DataSource, confirm?: Confirm): Promise<boolean> {
  const count = (log: ChangeLog) => countUnpushed(log, collection => hasServer(dataSource, collection))
  return handOver(dataSource, { name: 'wipe', count, act: removeEverything }, confirm)
}

/**
 * Makes the rows that are here the next user's: what was agreed with servers is forgotten, the rows stay, and the next sync pushes them all as
 * new ones. For rows that were made before anybody signed in; a column that names the owner is the application's to set. What is kept in the journal of rows
 * that the former user did not see any more is dropped: `confirm` is asked first, and given how many rows that are; without it that is an
 * UnpushedChangesError. Resolves to whether the rows were handed over.
 */
export const adopt = (dataSource: DataSource, confirm?: Confirm): Promise<boolean> =>
  handOver(dataSource, { name: 'adopt', count: countKeptApart, act: forgetServers }, confirm)

interface HandOver {
  readonly name: 'wipe' | 'adopt'
  /** How many rows it would lose. */
  readonly count: (log: ChangeLog) => Transaction<number>
  readonly act: (log: ChangeLog) => Transaction<void>
}

async function handOver(dataSource: DataSource, { name, count, act }: HandOver, confirm: Confirm | undefined): Promise<boolean> {
  const log = changeLogOf(dataSource)
  /** The stamp of the last change that the user was asked about. */
  let confirmed: number | undefined
  for (;;) {
    const { lost, now } = await log.database.transaction(
      function* () {
        const { now } = yield* log.database.clock()
        // what was changed while the user was asked is asked about as well
        const lost = now === confirmed ? 0 : yield* count(log)
        if (!lost) yield* act(log)
        return { lost, now }
      },
      { durable: true },
    )
    if (!lost) break
    if (!confirm) throw new UnpushedChangesError(lost, name)
    if (!(await confirm(lost))) return false
    confirmed = now
  }
  await openServers(log)
  await log.database.save()
  return true
}
