// Rules: who may see and change which rows of an entity, as data (docs/users.md). They are compiled to SQL in access.ts and conditions of src.

import type { DataSource, EntityMetadata, EntitySchema } from 'typeorm'
import type { OWN_KEY } from '../src/changes/scopes/keySet.js'
import type { SyncTarget } from '../src/entity/registry.js'
import { SyncConfigurationError } from '../src/errors.js'
import type { Principal } from './principal.js'

/** A value as TypeORM takes it; of a relation the key of the row that it leads to. */
export type RuleValue = string | number | bigint | boolean | null | Date

/** An entity class, or the schema of an entity without decorators. */
export type RuleTarget<E extends object> = (abstract new (...parameters: never[]) => E) | EntitySchema<E>

/** The properties of an entity, without its methods. */
export type RuleProperty<E> = { [P in keyof E & string]: E[P] extends (...parameters: never[]) => unknown ? never : P }[keyof E & string]

/** What a property is compared with: its own values; those of a relation, or of a type of yours, as the database has them. */
type Compared<T> = Plain<NonNullable<T>> | null
type Plain<T> = T extends string | number | bigint | boolean | Date ? T : Exclude<RuleValue, null>

/** The values of a property of the rows of an entity that a filter fits, read by the database in the transaction that needs them. */
export interface KeysOf {
  readonly entity: SyncTarget
  readonly property: string
  readonly where: Readonly<Record<string, RuleValue | readonly RuleValue[]>>
}

/** What a path leads through, and to, in an object that a relation holds. */
type Related<T> = T extends string | number | bigint | boolean | Date | readonly unknown[] ? never : T extends object ? T : never
type PathOf<E, Deeper extends 0 | 1 | 2 = 2> = {
  [P in RuleProperty<E>]: Related<E[P]> extends infer R
    ? [R] extends [never]
      ? never
      : `${P}.${RuleProperty<R> | (Deeper extends 2 ? PathOf<R, 1> : Deeper extends 1 ? PathOf<R, 0> : never)}`
    : never
}[RuleProperty<E>]

/** AND: each property, or path that is a scope, has this value, one of these, or one of those that are read. */
export type RuleFilter<E = object> = {
  readonly [P in RuleProperty<E> | PathOf<E> | typeof OWN_KEY]?: P extends keyof E
    ? Compared<E[P]> | readonly Compared<E[P]>[] | KeysOf
    : RuleValue | readonly RuleValue[] | KeysOf
}

/** `true`: all rows, `false`: none; of several filters one has to fit. */
export type RuleAnswer<E = object> = boolean | RuleFilter<E> | readonly RuleFilter<E>[]

export type RuleFor<E, P> = (principal: P) => RuleAnswer<E>

export interface RuleOptions<E, P> {
  /** Which rows the caller sees: by scopes of the entity and by its own key (`id`) alone. */
  readonly read: RuleFor<E, P>
  /**
   * Which rows the caller may change, by whatever columns; by default those that they see. A row has to fit as it was and as it will be. An
   * object says apart which may be made, changed and removed; what it lacks is as `read`.
   */
  readonly write?: RuleFor<E, P> | { readonly create?: RuleFor<E, P>; readonly update?: RuleFor<E, P>; readonly remove?: RuleFor<E, P> }
  /** References to rows that a caller need not see: a device keeps the row in its journal until it sees the other one. Nobody is warned of these. */
  readonly dangling?: readonly RuleProperty<E>[]
}

/** For callers who are a `P`. */
export interface Rule<P extends Principal = Principal> {
  readonly target: SyncTarget
  // biome-ignore lint/suspicious/noExplicitAny: of any entity
  readonly options: RuleOptions<any, P>
}

/** A rule for the rows of an entity: `rule(Task, { read: p => ({ owner: p.id }) })`. An entity without a rule is not served. */
export function rule<E extends object, P extends Principal = Principal>(target: RuleTarget<E>, options: RuleOptions<E, P>): Rule<P> {
  if (typeof options?.read !== 'function')
    throw new SyncConfigurationError('A rule says who reads: rule(Task, { read: principal => ({ owner: principal.id }) }).')
  return { target: target as SyncTarget, options }
}

/** The values of `property` in the rows of `entity` where `where` fits, synced or not: `keys(Member, 'project', { user: p.id })`. */
export function keys<E extends object>(
  entity: RuleTarget<E>,
  property: RuleProperty<E>,
  where: { readonly [P in RuleProperty<E>]?: Compared<E[P]> | readonly Compared<E[P]>[] } = {},
): KeysOf {
  return { entity: entity as SyncTarget, property, where: where as KeysOf['where'] }
}

export const isKeysOf = (value: unknown): value is KeysOf =>
  typeof value === 'object' && value !== null && 'entity' in value && 'where' in value

/** Throws SyncConfigurationError for what says nothing: an empty filter, or a promise, would fit every row. */
export function filtersOf(answer: Exclude<RuleAnswer, true>, entity: string): readonly RuleFilter[] {
  if (answer === false) return []
  const filters = (Array.isArray(answer) ? answer : [answer]) as readonly RuleFilter[]
  const isFilter = (x: unknown) => typeof x === 'object' && x !== null && !isKeysOf(x) && Object.keys(x).length > 0
  if (filters.every(isFilter)) return filters
  throw new SyncConfigurationError(
    `The rule of ${entity} has to give filters, { property: value } or a list of them, or true for all rows, or false for none; it is no async function.`,
    { entity },
  )
}

/** A missing value would fit nothing or, in other libraries, everything: it is a mistake. */
export function listOf(value: unknown, entity: string, property: string): readonly RuleValue[] {
  const list = (Array.isArray(value) ? value : [value]) as readonly RuleValue[]
  if (list.some(v => v === undefined)) throw new SyncConfigurationError(`The rule of ${entity} gives no value for ${property}.`, { entity })
  return list
}

/** Throws SyncConfigurationError. */
export function metadataOf(dataSource: DataSource, target: SyncTarget): EntityMetadata {
  if (!dataSource.hasMetadata(target as never))
    throw new SyncConfigurationError(`A rule is about ${nameOf(target)}, which is not one of the data source’s entities.`)
  return dataSource.getMetadata(target as never)
}

const nameOf = (target: SyncTarget) => (typeof target === 'function' ? target.name : target?.options?.name)
