// The rules of links: a link is seen with the row that owns it, and whoever may change that may make and remove the link.

import type { Collection, Reference } from '../src/changes/collections/collection.js'
import { OWN_KEY } from '../src/changes/scopes/keySet.js'
import { filtersOf, type Rule, type RuleAnswer, type RuleFilter } from './rules.js'

export interface Owner extends Reference {
  readonly parent: Collection
}

/** The reference of a link to the row that owns it; undefined for rows that are no links. */
export const ownerOf = ({ isLink, parents }: Collection): Owner | undefined =>
  isLink ? (parents.find(r => r.property === 'owner') as Owner | undefined) : undefined

/** The rule of a link, from that of the entity that owns it. */
export function ruleOfLinks(link: Collection, { parent: owner }: Owner, { target, options }: Rule): Rule {
  const nameOf = (name: string) => {
    if (name === OWN_KEY || name === owner.keyProperty) return 'owner'
    const scope = owner.scopes.find(c => c.property === name || c.metadata.relationMetadata?.propertyPath === name)
    return link.scopes.find(c => c.path && c.path.parentColumn === scope?.column)?.property ?? `owner.${name}`
  }
  const rename = (filter: RuleFilter): RuleFilter =>
    Object.fromEntries(Object.entries(filter).map(([name, value]) => [nameOf(name), value])) as RuleFilter
  const read = (principal: Parameters<typeof options.read>[0]): RuleAnswer => {
    const answer: RuleAnswer = options.read(principal)
    return typeof answer === 'boolean' ? answer : filtersOf(answer, owner.entity).map(rename)
  }
  return { target, options: { read } }
}
