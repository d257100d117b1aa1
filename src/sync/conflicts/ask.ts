// Asks the conflict handler of an application, and reads its answer.

import type { Collection } from '../../changes/collection.js'
import { holdOne } from '../../changes/held.js'
import { ConflictHandlerError, ValueError } from '../../errors.js'
import { type Session, transaction } from '../session.js'
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
    throw new ConflictHandlerError(`The conflict handler of ${entity} ${why}. The conflicts wait, and the next sync brings them again.`, {
      entity,
      cause: error,
    })
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

function answered(
  handler: ConflictHandler,
  conflicts: Conflict[],
  updates: ConflictUpdate[],
  timeout: number | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    const abort = () => reject(signal?.reason)
    signal?.addEventListener('abort', abort, { once: true })
    const timer =
      timeout === undefined
        ? undefined
        : setTimeout(
            () =>
              reject(
                new ConflictHandlerError(
                  `The conflict handler gave no answer in ${timeout} ms. The conflicts wait, and the next sync brings them again.`,
                ),
              ),
            timeout,
          )
    const end = (applyDecision: () => void) => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
      applyDecision()
    }
    try {
      const result = handler(conflicts, updates, () => end(resolve))
      if (isPromise(result))
        result.then(
          () => end(resolve),
          error => end(() => reject(error)),
        )
      else if (handler.length < 3) end(resolve)
    } catch (error) {
      end(() => reject(error))
    }
  })
}

const isPromise = (value: unknown): value is PromiseLike<unknown> =>
  typeof (value as { then?: unknown } | null | undefined)?.then === 'function'
