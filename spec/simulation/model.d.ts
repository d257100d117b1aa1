// What sameHistory.ts and the files that it is made of (same….ts) use of the model.

/** The properties of a row, or `{ removed }`; null: it never was here. */
export type Value = Readonly<Record<string, string | null>> | null

/** Who may see and change which rows. */
export interface Rules {
  /** The keys by which a row is seen. */
  readonly scopesOf: (value: Value) => readonly string[]
  readonly accessOf: (database: Database, principal: string) => Access
}

/** What a caller holds. */
export interface Access {
  readonly principal: string
  /** That of the set of keys, and of the rights. */
  readonly name: string
  /** '*' is a key that every row has. */
  readonly keys: readonly string[]
  readonly mayChange: (old: Value, value: Value) => boolean
  readonly mayMake: (old: Value, value: Value) => boolean
}

export interface Version {
  readonly value: Value
  readonly stamp: number
}

export interface Conflict {
  readonly theirs: Value
  untold: number | undefined
}

export interface Contested {
  readonly id: string
  readonly mine: Version
  readonly theirs: Value
  readonly base: Value | undefined
  readonly family: string
}

export interface Get {
  readonly since: number
  readonly after: unknown
  readonly collection: string | undefined
  readonly min: number
  readonly scope: string | undefined
  readonly etag: string | undefined
}

export interface Post {
  readonly body: readonly ({ readonly id: string; readonly partial?: boolean } & Readonly<Record<string, unknown>>)[]
  readonly since: number
  readonly collection: string | undefined
  readonly key: string
  readonly scope: string | undefined
  readonly as: string | undefined
}

export interface Page {
  readonly status: number
  readonly now: number
  readonly reset: string | undefined
  /** Absent where nothing is new. */
  readonly updates?: readonly { readonly id: string; readonly value: Value; readonly stamp: number }[]
  readonly full: boolean
  readonly scoped: boolean
  readonly next: unknown
}

export interface Posted {
  readonly status: number
  readonly reset?: string
  readonly since?: number
  readonly errors?: readonly { readonly id: string; readonly why: string }[]
  readonly updates?: readonly { readonly id: string; readonly value: Value; readonly stamp: number }[]
  readonly empty?: boolean
  readonly replayed?: boolean
}

export class Database {
  now: number
  horizon: number
  collection: string
  versions: Map<string, Version>
  remotes: Remote[]
  pushes: Map<string, unknown>
  rules: Rules | undefined
  exits: readonly { readonly id: string; readonly stamp: number; readonly keys: readonly string[]; readonly value: Value }[]
  sets: Map<string, { readonly name: string; readonly keys: readonly string[] }>
  /** Of the harness: rows of a table that is not synced, which the rules read. */
  members: Map<string, Readonly<Record<string, string>>>
  constructor(collection: string)
  version(id: string): Version
  tick(): number
  write(id: string, value: Value, stamp?: number): void
  collect(horizon: number): void
}

export class Remote {
  name: string
  collection: string | undefined
  serverDate: number
  highest: number
  page: { seen: Set<string> | undefined; next?: unknown } | null
  mine: Set<number>
  push: object | null
  images: Map<string, Map<number, Value>>
  conflicts: Map<string, Conflict>
  rejected: Map<string, number>
  retry: Map<string, string>
  principal: string | undefined
  scope: string | null
  aside: Map<string, { readonly mine?: Value; readonly base?: Value | undefined }>
  decisions: Set<string>
  tokenOfRemoval: (id: string) => string
  constructor(name: string)
  agreed(id: string, stamp: number): boolean
  base(id: string, version: Version): Value | undefined
}

/** Remedies that are taken out. */
export const without: Set<string>
export function gone(value: Value): boolean
export function get(database: Database, query: Get, principal: string | undefined): Page
export function post(
  database: Database,
  push: Post,
  refuses: (row: Readonly<Record<string, unknown>>) => boolean,
  principal: string | undefined,
): Posted
/** The answer is another user's. */
export class OtherUser extends Error {}
export function merge(base: Value | undefined, mine: Value, theirs: Value): { value: Value; contested: boolean }
export function sync(
  database: Database,
  remote: Remote,
  options: { handler: (contested: Contested[]) => (Contested & { value: Value })[]; newKey: () => string; rounds: number },
): Generator<{ get: Get; post?: undefined } | { post: Post; get?: undefined } | undefined, string, Page | Posted | undefined>
