// References from rows that a caller sees to rows that they may not see: a device cannot store such a row (docs/users.md, What to look after).
//
// Which rows there will be nobody knows, so it is a warning. It is decided by what rules give for principals of whom only the names of their properties
// are known: a rule that cannot answer for these is left alone.

import type { Collection, Reference } from '../src/changes/collections/collection.js'
import { SyncConfigurationError } from '../src/errors.js'
import { columnOf } from './keyReader.js'
import type { Principal } from './principal.js'
import { filtersOf, isKeysOf, type KeysOf, type Rule, type RuleAnswer, type RuleFilter, type RuleValue } from './rules.js'

/** Emits a warning for each reference that is not declared as dangling. Throws SyncConfigurationError for a declaration that names none. */
export function warnOfUnseenParents(rules: ReadonlyMap<Collection, Rule>): void {
  for (const [collection, { options }] of rules) {
    // a link to a row that is not seen waits, and holds nothing up
    if (collection.isLink) continue
    const declared = new Set((options.dangling ?? []).map(name => danglingReference(collection, name)))
    for (const reference of collection.parents) {
      const { parent, property } = reference
      const theirs = parent && rules.get(parent)
      if (!theirs || declared.has(reference) || PRINCIPALS.every(p => areSeenTogether(reference, options.read, theirs.options.read, p)))
        continue
      process.emitWarning(
        `Who sees a row of ${collection.entity} may not see the row of ${parent.entity} that it needs (${property}), and a device cannot store it then. Read both by the same scope, as by a path, '${property}.…'; or, where the row may wait in the journal of the device, say so: rule(${collection.entity}, { …, dangling: ['${property}'] }).`,
        { type: 'SyncWarning', code: 'parent-may-be-unseen' },
      )
    }
  }
}

function danglingReference({ entity, metadata, parents }: Collection, name: string): Reference {
  const isMeant = ({ childColumns, property }: Reference) =>
    childColumns.length < 2 ? childColumns[0] === columnOf(metadata, name).databaseName : property === name
  const found = parents.find(r => r.parent && isMeant(r))
  if (found) return found
  throw new SyncConfigurationError(`The rule of ${entity} declares ${name} as dangling, which is no reference to a synced entity.`, {
    entity,
  })
}

/** One who has every property that a rule asks for, each with a value of its own, and one who has none but an id. */
const PRINCIPALS: readonly Principal[] = [true, false].map(hasAll => {
  const isThere = (name: string | symbol) => name === 'id' || (hasAll && typeof name === 'string')
  return new Proxy({ id: '' }, { get: (_, name) => (isThere(name) ? `the principal’s ${String(name)}` : undefined) })
})

function areSeenTogether(
  reference: Reference,
  read: Rule['options']['read'],
  readParent: Rule['options']['read'],
  principal: Principal,
): boolean {
  try {
    const [own, theirs] = [answerOf(read, principal), answerOf(readParent, principal)]
    if (own === true || theirs === true) return theirs === true
    return own.every(filter => theirs.some(needed => implies(reference, filter, needed)))
  } catch {
    return true // a rule that has no answer for such a principal; the first request says what is wrong with it
  }
}

function answerOf(read: Rule['options']['read'], principal: Principal): true | readonly RuleFilter[] {
  const answer: RuleAnswer | PromiseLike<unknown> = read(principal)
  if (typeof answer === 'object' && 'then' in answer) void Promise.resolve(answer).catch(() => {}) // filtersOf rejects it
  return answer === true ? true : filtersOf(answer as Exclude<RuleAnswer, true>, '')
}

/** Does the parent of each row that fits the filter fit the other one? */
const implies = (reference: Reference, filter: RuleFilter, needed: RuleFilter) =>
  Object.entries(needed).every(([theirs, values]) =>
    Object.entries(filter).some(([own, some]) => isSameScope(reference, own, theirs) && isPartOf(some as Asked, values as Asked)),
  )

/** The reference itself, a path along it, or a scope of the same name: rows that belong together are in the same project, and have the same owner. */
function isSameScope({ child, parent, childColumns, parentColumns }: Reference, own: string, theirs: string): boolean {
  if (!child || !parent) return false
  const [column, needed] = [columnOf(child.metadata, own), columnOf(parent.metadata, theirs)]
  if (childColumns.length < 2 && column.databaseName === childColumns[0]) return needed.databaseName === parentColumns[0]
  const path = child.scopes.find(scope => scope.column === column.databaseName)?.path
  if (path && path.references.join('\n') === childColumns.join('\n')) return path.parentColumn === needed.databaseName
  return own === theirs && !column.isPrimary && !needed.isPrimary
}

type Asked = RuleValue | readonly RuleValue[] | KeysOf

function isPartOf(some: Asked, values: Asked): boolean {
  if (isKeysOf(some) !== isKeysOf(values)) return false
  if (!isKeysOf(some) || !isKeysOf(values)) return isSubset(some, values)
  return (
    some.entity === values.entity &&
    some.property === values.property &&
    Object.entries(values.where).every(([name, wanted]) => name in some.where && isSubset(some.where[name], wanted))
  )
}

function isSubset(some: unknown, values: unknown): boolean {
  const known = new Set(textsOf(values))
  return textsOf(some).every(text => known.has(text))
}

const textsOf = (values: unknown) => (Array.isArray(values) ? values : [values]).map(value => `${typeof value} ${String(value)}`)
