// The model and the code tell the same in the same words: rows, questions, requests and answers.

import { PROPERTIES } from './databases.js'
import type { Page, Posted, Value } from './model.js'
import * as model from './model.js'

export const SCOPES = ['owner', 'list']
export const COLUMNS = [...PROPERTIES, ...SCOPES]

export const text = (value: Value | undefined): string =>
  value === undefined
    ? 'unknown'
    : value?.left
      ? 'left'
      : value === null || value.removed
        ? 'gone'
        : COLUMNS.flatMap(p => (p in value ? (value[p] ?? 'none') : [])).join(' ')

function hash(...words: string[]): number {
  let h = 0x811c9dc5
  for (const c of words.join('\n')) h = Math.imul(h ^ (c.codePointAt(0) as number), 0x01000193)
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d)
  return (h ^ (h >>> 13)) >>> 0
}

type Decision = 'leave' | 'local' | 'remote' | ReadonlyMap<string, string | null>

/** The handler of both sides; of two rows it decides each contested property. */
export function resolve(id: string, mine: Value, theirs: Value, contested: readonly string[]): Decision {
  const h = hash(id, text(mine), text(theirs)) % 8
  if (h < 2) return 'leave'
  if (model.gone(mine) || model.gone(theirs)) return h < 5 ? 'local' : 'remote'
  if (h === 2) return 'remote'
  return new Map(
    contested.map(p => {
      const [ours, other] = [mine?.[p] ?? null, theirs?.[p] ?? null]
      return [p, hash(id, p, String(ours), String(other)) % 2 ? ours : other]
    }),
  )
}

export const question = (id: string, mine: Value, theirs: Value, base: Value | undefined, contested: readonly string[]) =>
  `${id}: mine ${text(mine)}, remote ${text(theirs)}, base ${text(base)}, contested ${contested}`

export const refuses = (row: Readonly<Record<string, unknown>>) => !row.removed && String(row.c).endsWith('!')

// ---------------------------------------------------------------- requests, as both tell them

export const describeBody = (rows: readonly Readonly<Record<string, unknown>>[]) =>
  rows
    .map(({ id, removed, _removed, partial, _partial, ...values }) =>
      removed || _removed
        ? `${id} removed`
        : `${id} ${partial || _partial ? 'partial' : 'whole'} ${COLUMNS.flatMap(p => (p in values ? `${p}=${values[p]}` : []))}`,
    )
    .sort()
    .join('; ')

const describeUpdates = (updates: readonly (readonly [id: string, value: Value])[]) =>
  updates.map(([id, value]) => `${id} ${text(value)}`).sort().join('; ') // biome-ignore format: short

const LEFT = { removed: 'left', left: true } as unknown as Value

function describePage(
  updates: readonly (readonly [string, Value])[],
  { reset, full, next, isPart }: { reset?: string | undefined; full?: boolean | undefined; next?: unknown; isPart?: boolean },
): string {
  const what = `${reset ?? ''}${full ? ' full' : ''}${isPart ? ' of a part' : ''}${next === undefined ? '' : ' more'}`
  return `${what} [${describeUpdates(updates)}]`
}

/** The rows of a body, of an answer or a push: there is one collection. */
export const rowsIn = ({ changes }: { changes: Record<string, Record<string, string>[]> }) => Object.values(changes).flat()

export const describeModelPage = ({ status, updates = [], scoped, ...page }: Page) =>
  status === 304
    ? 'nothing new'
    : describePage(
        updates.map(u => [u.id, u.value]),
        { ...page, isPart: scoped === true },
      )

type Told = Pick<Posted, 'status' | 'reset' | 'empty' | 'replayed'> & {
  readonly errors?: readonly (readonly [id: string, why: string])[]
  readonly updates?: readonly (readonly [id: string, value: Value])[]
  /** Nothing of others lies between. */
  readonly isExact: boolean
}

function describeTold({ status, reset, errors, updates, empty, replayed, isExact }: Told): string {
  const rejected = errors && ` [${[...new Set(errors.map(([id, why]) => `${id} ${why}`))].sort()}]`
  const contested = updates && !reset && ` contested [${describeUpdates(updates)}]`
  return `${status} ${reset ?? ''}${replayed ? ' replayed' : ''}${empty ? ' empty' : ''}${rejected ?? ''}${contested || ''}${isExact ? ' exact' : ''}`
}

export const describeModelPosted = ({ errors, updates, since, ...posted }: Posted): string =>
  describeTold({
    ...posted,
    ...(errors && { errors: errors.map(e => [e.id, e.why]) }),
    ...(updates && { updates: updates.map(u => [u.id, u.value]) }),
    isExact: since !== undefined,
  })

const updatesIn = (json: { changes: Record<string, Record<string, string>[]> }) =>
  rowsIn(json).map(({ id, _removed, _left, _lastChange, ...value }): [string, Value] => [
    id as string,
    _left ? LEFT : _removed ? null : (value as Value),
  ])

export function describeAnswer(method: string, answer: { status: number; headers: Record<string, string>; body: string }): string {
  if (answer.status === 304) return 'nothing new'
  const json = JSON.parse(answer.body)
  if (method === 'GET') return describePage(updatesIn(json), { ...json, isPart: json.scoped?.length > 0 })
  return describeTold({
    ...{ status: answer.status, reset: json.reset, empty: json.empty, replayed: 'idempotency-replayed' in answer.headers },
    ...(json.errors && {
      errors: json.errors.map((e: { id: string; code: string }) => [e.id, e.code === 'not-allowed' ? e.code : 'rule'] as const),
    }),
    ...(json.changes && { updates: updatesIn(json) }),
    isExact: json.since !== undefined,
  })
}
