// The rules of the collections of a data source, and what is wrong with them.

import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js'
import type { ChangeLog } from '../src/changes/changeLog.js'
import type { Collection } from '../src/changes/collections/collection.js'
import { SyncConfigurationError } from '../src/errors.js'
import { ownerOf, ruleOfLinks } from './linkRules.js'
import { metadataOf, type Rule } from './rules.js'
import { warnOfUnseenParents } from './unseenReferences.js'

export type Rules = ReadonlyMap<Collection, Rule>

const known = new WeakMap<ChangeLog, Map<readonly Rule[], Rules>>()

/** Throws SyncConfigurationError where the rules do not go with the entities. */
export function rulesOf(log: ChangeLog, list: readonly Rule[]): Rules {
  const before = known.get(log)?.get(list)
  if (before) return before
  const rules = new Map<Collection, Rule>()
  for (const each of list) {
    const metadata = metadataOf(log.dataSource, each.target)
    const collection = log.collections.find(c => c.metadata === metadata)
    if (!collection)
      throw new SyncConfigurationError(`There is a rule for ${metadata.name}, which is not synced: enableSync(${metadata.name}, '/…').`)
    if (rules.has(collection))
      throw new SyncConfigurationError(`There are two rules for ${collection.entity}; one has room for several filters.`)
    rules.set(collection, each)
  }
  for (const link of log.collections) {
    const owner = ownerOf(link)
    const its = owner && rules.get(owner.parent)
    if (owner && its) rules.set(link, ruleOfLinks(link, owner, its))
  }
  for (const { entity, parents } of rules.keys())
    for (const { parent, property } of parents)
      if (parent && !rules.has(parent))
        throw new SyncConfigurationError(
          `${entity} needs rows of ${parent.entity} (${property}), for which there is no rule: nobody could store what they get. Add a rule for ${parent.entity}, at least { read: () => true, write: () => false }.`,
        )
  for (const collection of rules.keys()) warnOfUniques(collection)
  warnOfUnseenParents(rules)
  known.set(log, (known.get(log) ?? new Map()).set(list, rules))
  return rules
}

/** A value that is unique for all users tells who tries it that somebody has it. */
function warnOfUniques({ entity, metadata, scopes }: Collection): void {
  const isScope = (column: ColumnMetadata) =>
    column.isPrimary ||
    /^_sync_(key|identity|to_)/.test(column.propertyName) ||
    scopes.some(s => s.metadata.databaseName === column.databaseName)
  const lists = [...metadata.uniques.map(u => u.columns), ...metadata.indices.filter(i => i.isUnique).map(i => i.columns)]
  for (const columns of lists) {
    if (!scopes.length || !columns.length || columns.some(isScope)) continue
    const names = columns.map(c => c.propertyPath).join(', ')
    process.emitWarning(
      `${names} of ${entity} is unique among the rows of all users: who tries a value learns whether somebody has it. Put a scope into the index: (${scopes[0]?.property}, ${names}).`,
      { type: 'SyncWarning', code: 'unique-without-scope' },
    )
  }
}
