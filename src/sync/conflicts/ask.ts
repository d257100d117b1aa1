// Asks the conflict handler of an application, and reads its answer.

import type { Collection } from '../../changes/collections/collection.js'
import { holdOne } from '../../changes/rows/held.js'
import { ConflictHandlerError, ValueError } from '../../errors.js'
import { type Session, transaction } from '../session.js'
import { deadline, orAbort } from '../waiting.js'
import type { Contested } from './contested.js'
import type { Decision } from './decisions.js'
import type { Conflict, ConflictHandler, ConflictUpdate } from './handlers.js'
import { question } from './question.js'

export async function ask(
  session: Session,
  collection: Collection,
  handler: ConflictHandler,
  contested: readonly Contested[],
): Promise<Decision[]> {
  const { signal, handlerTimeout } = session
  const { entity } = collection
  const questions = contested.map(c => question(collection, c))
  const updates: ConflictUpdate[] = []
  try {
    await answered(
      handler,
      questions.map(q => q.conflict),
      updates,
      handlerTimeout,
      signal,
    )
    return await hold(
      session,
      collection,
      questions.flatMap(q => q.resolve(updates)),
    )
  } catch (error) {
    if (signal?.aborted || error instanceof ConflictHandlerError) throw error
    const why = error instanceof ValueError ? `decided a value that cannot be stored: ${error.message}` : `threw: ${String(error)}`
    throw new ConflictHandlerError(
      `The conflict handler of ${entity} ${why}. The conflicts stay in the journal, and the next sync brings them again.`,
      {
        entity,
        cause: error,
      },
    )
  }
}

/** The decisions in the database's own spelling, where it has one. Throws ValueError. */
async function hold(session: Session, collection: Collection, resolved: readonly Decision[]): Promise<Decision[]> {
  if (!collection.columns.some(c => c.isSpelledThere)) return [...resolved]
  return await transaction(session, function* () {
    const held: Decision[] = []
    for (const { contested, value } of resolved)
      held.push({ contested, value: value && (yield* holdOne(session.log.database, collection, value)) })
    return held
  })
}

/** Throws ConflictHandlerError where it takes longer than so many milliseconds. */
async function answered(
  handler: ConflictHandler,
  conflicts: Conflict[],
  updates: ConflictUpdate[],
  timeout: number | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  const answer = call(handler, conflicts, updates)
  if (timeout === undefined) return orAbort(answer, signal)
  const message = `The conflict handler gave no answer in ${timeout} ms. The conflicts stay in the journal, and the next sync brings them again.`
  const limit = deadline(timeout, () => new ConflictHandlerError(message), signal)
  try {
    await orAbort(answer, limit.signal)
  } finally {
    limit.stop()
  }
}

/** Resolves when the handler calls back, or as the promise that it returns; at once where it does neither. */
function call(handler: ConflictHandler, conflicts: Conflict[], updates: ConflictUpdate[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const result = handler(conflicts, updates, resolve)
    if (isPromise(result)) result.then(() => resolve(), reject)
    else if (handler.length < 3) resolve()
  })
}

const isPromise = (value: unknown): value is PromiseLike<unknown> =>
  typeof (value as { then?: unknown } | null | undefined)?.then === 'function'
