import { ConstraintError, ValueError } from '../errors.js'
import { query, type Transaction } from './statement.js'

/** Thrown by the body of a savepoint, to have it rolled back. */
export class Rollback extends Error {}

/**
 * Runs a body so that a constraint which it breaks leaves nothing of it behind. On PostgreSQL an error ends the transaction, all but what a
 * savepoint holds. A savepoint inside of another needs another `name`: on MySQL a savepoint replaces one that is called the same.
 */
export function* savepoint<T>(body: () => Transaction<T>, name = 'sync_savepoint'): Transaction<T> {
  yield* query(`SAVEPOINT ${name}`)
  try {
    const result = yield* body()
    yield* query(`RELEASE SAVEPOINT ${name}`)
    return result
  } catch (error) {
    try {
      yield* query(`ROLLBACK TO SAVEPOINT ${name}`)
      yield* query(`RELEASE SAVEPOINT ${name}`)
    } catch (failed) {
      // What was to be rolled back may still be there. Where the whole transaction is gone, as on a full disk, what went wrong first counts.
      if (error instanceof Rollback || error instanceof ConstraintError || error instanceof ValueError) throw failed
    }
    throw error
  }
}
