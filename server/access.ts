// What a caller may see, found out in the transaction that needs it.

import { createHash } from 'node:crypto'
import type { ChangeLog } from '../src/changes/changeLog.js'
import type { Collection } from '../src/changes/collections/collection.js'
import { countKeys, type Filter, type KeySet, type Keys, normalizeKeys, OWN_KEY } from '../src/changes/scopes/keySet.js'
import type { Transaction } from '../src/databases/database.js'
import { SyncConfigurationError } from '../src/errors.js'
import type { Caller } from './caller.js'
import { KeyReader, type Resolved } from './keyReader.js'
import type { Principal } from './principal.js'
import type { Rule, RuleAnswer } from './rules.js'
import { type Rules, rulesOf } from './rulesOf.js'

/** More keys than these of one caller would cost each of their requests too much. */
const MOST_KEYS = 1_000

export interface Access {
  /** What answers call the caller. */
  readonly principal: string
  /** What answers call the set of the keys. */
  readonly scope: string
  readonly keys: KeySet
  readonly rules: Rules
  /** The caller as the application has named them. */
  readonly caller: Principal
}

/** Evaluates the rules for a caller. Undefined where there are none, and everything is public. Throws SyncConfigurationError. */
export function* readAccess(log: ChangeLog, { principal, rules: list, caller }: Caller): Transaction<Access | undefined> {
  if (!list || !caller || principal === undefined) return
  const rules = rulesOf(log, list)
  const reader = new KeyReader(log)
  const keys: Record<string, Keys> = {}
  const rights: unknown[] = []
  for (const [collection, rule] of rules) {
    keys[collection.name] = yield* readKeys(reader, collection, rule.options.read(caller))
    rights.push(collection.name, yield* readRights(reader, collection, rule, caller))
  }
  return { principal, scope: nameSet(principal, keys, rights), keys, rules, caller }
}

/** What a caller may change, for the name of the set: with another role, what was not allowed is pushed again (law 21). */
function* readRights(reader: KeyReader, collection: Collection, { options }: Rule, caller: Principal): Transaction<unknown[]> {
  const { write } = options
  const rights: unknown[] = []
  for (const each of typeof write === 'function' ? [write] : [write?.create, write?.update, write?.remove]) {
    const resolved = each && (yield* reader.resolve(collection, each(caller)))
    rights.push(
      Array.isArray(resolved) ? resolved.map(filter => filter.map((r: Resolved) => [r.name, r.list.map(String).sort()])) : resolved,
    )
  }
  return rights
}

const nameSet = (principal: string, keys: KeySet, rights: readonly unknown[]) =>
  createHash('sha256')
    .update(JSON.stringify([principal, Object.entries(keys).sort(([x], [y]) => (x < y ? -1 : 1)), rights]))
    .digest('base64url')
    .slice(0, 22)

/** The collections that are served to a caller. */
export function servedTo(log: ChangeLog, { rules }: Caller): ChangeLog['collections'] {
  const served = rules && rulesOf(log, rules)
  return served ? log.collections.filter(c => served.has(c)) : log.collections
}

function* readKeys(reader: KeyReader, collection: Collection, answer: RuleAnswer): Transaction<Keys> {
  const resolved = yield* reader.resolve(collection, answer)
  if (resolved === 'all') return 'all'
  const textsOf = ({ list }: Resolved) => list.flatMap(value => (value === null ? [] : String(value)))
  const filters = resolved.map((filter): Filter => Object.fromEntries(filter.map(r => [scopeOf(collection, r.name), textsOf(r)])))
  const keys = normalizeKeys(filters)
  const count = countKeys(keys)
  if (count > MOST_KEYS)
    throw new SyncConfigurationError(
      `A caller holds ${count} keys of ${collection.entity}; ${MOST_KEYS} are possible. Scope its rows by something that holds more of them.`,
      { entity: collection.entity },
    )
  return keys
}

/** By its wire name. */
function scopeOf(collection: Collection, name: string): string {
  if (name === OWN_KEY || name === collection.keyProperty) return OWN_KEY
  const scope = collection.scopes.find(c => c.property === name || c.metadata.relationMetadata?.propertyPath === name)
  if (scope) return scope.property
  const { entity } = collection
  throw new SyncConfigurationError(
    `The rule of ${entity} reads by ${name}, which is no scope of it: @EnableSync('${collection.paths[0]}', { scopes: ['${name}'] }).`,
    { entity },
  )
}
