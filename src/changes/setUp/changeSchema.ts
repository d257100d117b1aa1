// Changes of the schema, such as migrations, while the triggers are away.

import type { Database, Table, Transaction } from '../../databases/database.js'
import type { ChangeLog } from '../changeLog.js'
import { tablesBefore } from './renames.js'
import { leaveMissing, setUp } from './setUp.js'

/** The tables that were copied before a change, while it is at work; none where it must keep the contents of rows. */
const changing = new WeakMap<Database, readonly Table[]>()

export const tablesInChange = (database: Database): readonly Table[] | undefined => changing.get(database)

/**
 * Runs `work`, which changes the schema, while there are no triggers. Transactions wait until it ends.
 * With `changesRows` the rows that it changes count as changed; otherwise it must keep their contents.
 */
export async function changeSchema<T>(log: ChangeLog, work: () => Promise<T>, { changesRows = false } = {}): Promise<T> {
  const { database } = log
  // a migration may synchronize; the triggers are away already
  if (changing.has(database)) return work()
  changing.set(database, [])
  const putBack = () => database.transaction(() => setUp(log, leaveMissing), { mode: 'setUp', duringSchemaChange: true })
  try {
    return await database.changeSchema(async () => {
      const tables = await database.transaction(() => prepareSchemaChange(log, changesRows), { mode: 'setUp', duringSchemaChange: true })
      changing.set(database, tables)
      let result: T
      try {
        result = await work()
      } catch (error) {
        // what went wrong first is what people want to read; the triggers are put back by the next sync at the latest
        await putBack().catch(() => {})
        throw error
      }
      await putBack()
      return result
    })
  } finally {
    changing.delete(database)
  }
}

function* prepareSchemaChange({ database, collections }: ChangeLog, changesRows: boolean): Transaction<readonly Table[]> {
  const tables = changesRows ? yield* tablesBefore(database, collections) : []
  yield* database.dropTriggers()
  // the copies outlive a crash: the next set-up compares and drops them
  if (changesRows) yield* database.copyRows(tables)
  return tables
}
