// Answers POST: what a client changed (PROTOCOL.md, POST).

import { createHash } from 'node:crypto'
import type { ChangeLog } from '../src/changes/changeLog.js'
import type { Collection } from '../src/changes/collections/collection.js'
import type { Transaction } from '../src/databases/database.js'
import { servedUrls, syncedEntities } from '../src/entity/registry.js'
import { ConstraintError } from '../src/errors.js'
import type { Rejection } from '../src/protocol/messages.js'
import { readPushedRows } from '../src/protocol/pushedRows.js'
import { readPushQuery } from '../src/protocol/queries.js'
import { readJson } from './body.js'
import { type Caller, checkPrincipal } from './caller.js'
import { type Exchange, JSON_TYPE } from './exchange.js'
import type { PushLimits } from './limits.js'
import { rejectRounded } from './numbers.js'
import type { PostedRow, Rejected } from './posted.js'
import { keyReused, Problem } from './problem.js'
import { type Contested, type Push, type PushOutcome, storePush } from './push.js'
import { rejectTogether } from './rejections.js'
import type { WriteUpdate } from './updates.js'

export async function answerPush(
  exchange: Exchange,
  log: ChangeLog,
  collection: Collection,
  write: WriteUpdate,
  limits: PushLimits,
  caller: Caller,
) {
  const { principal } = caller
  const { seen, key: keyInQuery, principal: meant, ...query } = readPushQuery(exchange.query)
  checkPrincipal(meant, principal)
  const key = readKey(exchange, keyInQuery)
  const { bytes, json, isRounded } = await readJson(exchange, limits)
  if (Array.isArray(json) && json.length > limits.maxRows) throw tooManyRows(limits)
  const { rows, rejections } = readRows(collection, json, isRounded)
  const push: Push = {
    ...query,
    rows,
    compared: new Set([collection]),
    ...(seen && { seen: seenCollections(log, seen) }),
    ...(key !== undefined && { key: keyOf(principal, `${collection.name} ${key}`) }),
    hash: hashOf(bytes),
    caller,
    writeIgnored: ignored => ignored.get(collection),
  }
  await storeAndAnswer(exchange, log, push, rejections, principal, {
    rejection: ({ collection: _, ...rejection }) => rejection,
    contested: contested => ({ updates: contested.map(write) }),
  })
}

/** How an answer writes what was not stored. */
export interface Words {
  rejection(rejection: Rejected): Rejection
  contested(contested: readonly Contested[]): object
}

/** Stores a push and answers it; `rejections` are those of rows that are bad to begin with. Throws a Problem. */
export async function storeAndAnswer(
  exchange: Exchange,
  log: ChangeLog,
  push: Push,
  rejections: readonly Rejected[],
  principal: string | undefined,
  words: Words,
): Promise<void> {
  const named = principal === undefined ? {} : { principal }
  const outcome = await store(log, push, rejections)
  if (outcome.kind === 'key-reused') throw keyReused()
  if (outcome.kind === 'rejected') throw rejected(outcome.rejections.map(words.rejection), named)
  if (outcome.kind === 'stale') throw stale(outcome, { ...words.contested(outcome.contested), ...named })
  // what is acknowledged survives: a database in memory is saved before the answer leaves
  await log.database.save()
  if (outcome.replayed) exchange.set({ 'Idempotency-Replayed': 'true' })
  exchange.set({ 'Content-Type': JSON_TYPE })
  // in the body as well: a gateway may hide the header
  exchange.body = JSON.stringify({ ...outcome.answer, ...(outcome.replayed && { replayed: true }), ...named })
}

/** An idempotency key belongs to a principal: another one's is as if it did not exist. */
export const keyOf = (principal: string | undefined, key: string) => (principal === undefined ? key : `${principal} ${key}`)

export const hashOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

export const tooManyRows = ({ maxRows }: PushLimits) => new Problem(413, `A POST may have ${maxRows} rows at most.`)

/** The posted rows of a collection, and rejections of those that are none. Throws BadRequestError. */
export function readRows(collection: Collection, json: unknown, isRounded: boolean): { rows: PostedRow[]; rejections: Rejected[] } {
  const { rows: posted, rejections } = readPushedRows(json)
  const { rows, rejections: rounded } = isRounded ? rejectRounded(posted) : { rows: posted, rejections: [] }
  return {
    rows: rows.map(row => ({ ...row, collection })),
    rejections: [...rejections, ...rounded].map(rejection => ({ ...rejection, collection })),
  }
}

// A proxy may remove a prefix from the path that a client knows: a path fits where it ends with ours.
function seenCollections(log: ChangeLog, seen: ReadonlyMap<string, number>): Map<Collection, number> {
  const stamps = new Map<Collection, number>()
  for (const entity of syncedEntities(log.dataSource)) {
    const collection = log.collections.find(c => c.metadata === entity.metadata)
    for (const [path, stamp] of seen)
      if (collection && servedUrls(entity).some(url => path.endsWith(new URL(url, 'http://server').pathname))) stamps.set(collection, stamp)
  }
  return stamps
}

/** The key of the header or of the query: a proxy may strip the header. */
export function readKey({ request }: Exchange, inQuery: string | undefined): string | undefined {
  const inHeaders = [request.headers['idempotency-key'] ?? []].flat()
  const keys = inQuery === undefined ? inHeaders : [...inHeaders, inQuery]
  const [key] = keys
  if (key === undefined) return
  if (inHeaders.length > 1 || keys.some(other => other !== key) || !/^[\x20-\x7e]{1,255}$/.test(key))
    throw new Problem(400, 'The idempotency key has to be one, of 1 to 255 printable ASCII characters, in the header and in the query.')
  return key
}

/** Thrown out of a transaction, so that nothing of it stays, nor its stamp. */
class Undone extends Error {
  constructor(readonly outcome: PushOutcome) {
    super('undone')
  }
}

// One answer names every bad row: where some are bad to begin with, the others are stored on trial.
async function store(log: ChangeLog, push: Push, rejections: readonly Rejected[]): Promise<PushOutcome> {
  const storeOrUndo = function* (): Transaction<PushOutcome> {
    const outcome = yield* storePush(log, push)
    if (outcome.kind !== 'stored' || rejections.length > 0) throw new Undone(outcome)
    return outcome
  }
  try {
    return await log.database.transaction(storeOrUndo, { durable: true })
  } catch (error) {
    // a constraint that the database looks at in the end
    if (error instanceof ConstraintError) return { kind: 'rejected', rejections: [...rejections, ...push.rows.map(rejectTogether)] }
    if (!(error instanceof Undone)) throw error
    const { outcome } = error
    if (outcome.kind === 'stored') return { kind: 'rejected', rejections }
    return outcome.kind === 'rejected' ? { kind: 'rejected', rejections: [...rejections, ...outcome.rejections] } : outcome
  }
}

function rejected(errors: readonly Rejection[], more: object): Problem {
  const detail = 'Nothing was stored: the errors say which rows cannot be, and why.'
  return new Problem(422, detail, { type: 'urn:typeorm-sync:rows-refused', title: 'Rows refused', members: { errors, ...more } })
}

function stale({ clock, reset }: PushOutcome & { kind: 'stale' }, contested: object): Problem {
  const members = { now: clock.now, collection: clock.collection, ...(reset ? { reset } : {}), ...contested }
  return reset
    ? new Problem(409, 'Nothing was stored: the collection was reset. Read it again.', {
        type: 'urn:typeorm-sync:collection-reset',
        title: 'Collection reset',
        members,
      })
    : new Problem(409, 'Nothing was stored: some of these rows changed meanwhile. The updates say how.', {
        type: 'urn:typeorm-sync:rows-contested',
        title: 'Rows contested',
        members,
      })
}
