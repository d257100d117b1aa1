// What travels between client and server (PROTOCOL.md), as types, and the two functions that know how a removal is written.
// What comes from outside is checked in `queries.ts` and `pushedRows.ts` on the server, in `answers.ts` and `feedAnswers.ts` on the client.

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

/** The properties of a row by their wire names. Those that no column has are ignored, so the names of the envelope do no harm. */
export type WireRow = Record<string, Json>

/** A row at a stamp, or null where it was removed. */
export interface Update {
  readonly id: string
  readonly value: WireRow | null
  /** A server of 2011 need not send it. */
  readonly stamp?: number
  /** It was not removed, but this caller does not see it any more. */
  readonly left?: true
}

/** An update of ours. */
export interface StampedUpdate extends Update {
  readonly stamp: number
}

/**
 * Why an answer begins anew. `scope-unknown`: the server does not know the set of keys that the client holds; `scope-changed`: a page, or a push, was
 * one for another set than the caller's present one.
 */
export type Reset = 'collection-changed' | 'since-too-old' | 'scope-unknown' | 'scope-changed'

/** Whom an answer is for. */
export interface Named {
  /** Who asked, by a name that the server gives them and that says nothing about them; absent where it knows no users. */
  readonly principal?: string
  /** The set of keys by which they see rows, by the server's name for it; absent where everybody sees everything. */
  readonly scope?: string
}

/** What of the rows an answer is about. */
export interface Scoped {
  /** Of a full answer: the paths of the collections of which the caller sees a part. What it lacks of these may be there. */
  readonly scoped?: readonly string[]
}

/** What a GET asks for. Stamps are milliseconds since 1/1/1970, the server's own. */
export interface PullQuery {
  readonly since: number
  /** How many updates in one answer; without it the whole difference. */
  readonly limit?: number
  /** The token of the next page. */
  readonly after?: string
  /** The highest stamp that this server ever sent. */
  readonly min?: number
  /** The history id that the client knows. */
  readonly collection?: string
  /** The set of keys that the client holds; empty where it holds no whole one. Absent where the server never named one. */
  readonly scope?: string
  /** Properties that a server has ignored: has it a column for them now? */
  readonly properties?: readonly string[]
}

export interface PullAnswer extends Named, Scoped {
  readonly now: number
  readonly updates: readonly Update[]
  /** Absent where the server is of 2011. */
  readonly collection?: string
  /** There is more: the token of the next page. */
  readonly next?: string
  /** The answer has everything from the beginning: a row that it lacks was removed. */
  readonly full?: boolean
  readonly reset?: Reset
  /** Those among the properties that were asked for which there is a column; absent where none was asked for. */
  readonly properties?: readonly string[]
}

/** A row of a POST: `value` holds all properties, or, where `partial`, those that changed; null for a removal. */
export interface PushedRow {
  readonly id: string
  readonly value: WireRow | null
  readonly partial: boolean
}

export interface PushAnswer extends Named {
  readonly status: 'ok'
  readonly now: number
  /** The stamp just before; absent where the client has to read what was stored. */
  readonly since?: number
  /** Posted properties that the server has no column for, by their wire names: they were not stored, in any row of the push. */
  readonly ignored?: readonly string[]
  /** The push had come before under its key: this is the answer that it got then. */
  readonly replayed?: true
  /** This answers an empty push whose key was new: the push that it was to end never counts. */
  readonly empty?: true
}

/** A push that was not stored because others were faster, because the collection was reset, or because the caller has other keys. */
export interface StaleAnswer extends Named {
  readonly now: number
  readonly updates: readonly Update[]
  /** `other-user`: the push was made for another principal. */
  readonly reset?: Reset | 'other-user'
}

// ---------------------------------------------------------------- the feed

/** What belongs to collections, by their paths. */
export type ByPath<T> = ReadonlyMap<string, T>

/** What a GET of the feed asks for. */
export interface FeedQuery extends Omit<PullQuery, 'properties'> {
  /** The paths of those collections that the client has. */
  readonly collections: readonly string[]
  /** Properties that a server has ignored: has it columns for them now? */
  readonly properties?: ByPath<readonly string[]>
}

/** What changed in all collections together. */
export interface FeedAnswer extends Named, Scoped {
  readonly now: number
  /** The id of the history. */
  readonly collection: string
  /** Each group in the order of changes; a collection without updates has none. */
  readonly changes: ByPath<readonly Update[]>
  readonly next?: string
  readonly full?: boolean
  readonly reset?: Reset
  /** Paths that were asked for and that this server does not serve. */
  readonly unknown?: readonly string[]
  /** Those among the properties that were asked for which there are columns; absent where none was asked for. */
  readonly properties?: ByPath<readonly string[]>
}

/** A push to the feed was stored. */
export interface FeedPushAnswer extends Omit<PushAnswer, 'ignored'> {
  readonly ignored?: ByPath<readonly string[]>
}

/** A push to the feed was not stored because others were faster, because the history was reset, or because the caller has other keys. */
export interface FeedStaleAnswer extends Omit<StaleAnswer, 'updates'> {
  readonly changes: ByPath<readonly Update[]>
}

// ---------------------------------------------------------------- rejections

/** The codes with which our server rejects a row, all of them. */
export type RejectionCode =
  | 'bad-id'
  | 'duplicate-id'
  | 'not-valid'
  | 'too-large'
  | 'not-allowed'
  | 'skipped'
  | 'not-unique'
  | 'parent-missing'
  | 'children-exist'
  | 'children-unseen'

/** Why a row of a POST was rejected. A client accepts any text as a code: other servers have codes of their own. */
export interface Rejection<Code extends string = RejectionCode> {
  /** The path of its collection, where the POST was one to the feed. */
  readonly collection?: string
  readonly id: string
  readonly property?: string
  readonly code: Code
  readonly detail: string
}

// ---------------------------------------------------------------- rows

/** An update as JSON wants it. */
export function writeUpdate({ id, value, stamp, left }: Update): WireRow {
  const row: WireRow = value === null ? { id, _removed: true, ...(left && { _left: true }) } : { id, ...value }
  if (stamp !== undefined) row._lastChange = stamp
  return row
}

/** A row of a POST as JSON wants it. */
export function writePushedRow({ id, value, partial }: PushedRow): WireRow {
  if (value === null) return { id, _removed: true }
  return partial ? { id, _partial: true, ...value } : { id, ...value }
}
