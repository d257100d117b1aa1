// The indexes by which a server reads the rows of one scope in the order of their changes.

import { type EntitySchema, getMetadataArgsStorage } from 'typeorm'
import type { IndexMetadataArgs } from 'typeorm/metadata-args/IndexMetadataArgs.js'
import { KEY, rejectScope } from '../changes/collections/scopes.js'
import { STAMP } from './hiddenColumns.js'
import type { SyncTarget } from './registry.js'

/** The scope of each index of ours. */
const ours = new WeakMap<object, string>()

/** Adds an index (scope, `_lastChange`, key) for each scope of a class; `keys` gives the properties of its key when every decorator has run. */
export function indexScopesOfClass(target: Exclude<SyncTarget, EntitySchema>, scopes: readonly string[], keys: () => string[]): void {
  const { indices } = getMetadataArgsStorage()
  // a second call replaces the first, and a class has the indexes of the classes that it extends
  const isReplaced = (index: IndexMetadataArgs) =>
    ours.has(index) && (index.target === target || (scopes.includes(ours.get(index) as string) && extendsClass(index.target, target)))
  const others = indices.filter(index => !isReplaced(index))
  const isInherited = (path: string) => others.some(index => ours.get(index) === path && extendsClass(target, index.target))
  const isThere = (path: string) => isInClass(target, path.split('.'))
  // a path has its index with its column
  const paths = [...new Set(scopes)].filter(path => !isInherited(path) && !isPath(path, isThere))
  const added = paths.map((path): IndexMetadataArgs => ({ target, columns: () => columnsOf(target.name, path, isThere, keys()) }))
  for (const [i, index] of added.entries()) ours.set(index, paths[i] as string)
  indices.splice(0, indices.length, ...others, ...added)
}

/** Adds an index (scope, `_lastChange`, key) for each scope of an entity without decorators. */
export function indexScopesOfSchema({ options }: EntitySchema, scopes: readonly string[], keys: readonly string[]): void {
  const others = (options.indices ?? []).filter(index => !ours.has(index))
  const isThere = (path: string) => isInSchema(options, path.split('.'))
  const paths = [...new Set(scopes)].filter(path => !isPath(path, isThere))
  const added = paths.map(path => ({ columns: () => columnsOf(options.name, path, isThere, keys) }))
  for (const [i, index] of added.entries()) ours.set(index, paths[i] as string)
  options.indices = [...others, ...added]
}

/** Does it lead through a to-one relation? That of an embedded entity does not. */
const isPath = (path: string, isThere: (path: string) => boolean) => path.includes('.') && isThere(path.slice(0, path.indexOf('.')))

const extendsClass = (one: unknown, other: unknown) =>
  typeof one === 'function' && typeof other === 'function' && Object.prototype.isPrototypeOf.call(other, one)

// What has no column would end in an error of TypeORM's, which says nothing of scopes.
function columnsOf(entity: string, path: string, isThere: (path: string) => boolean, keys: readonly string[]): string[] {
  if (!isThere(path)) rejectScope(entity, path, 'it has no such column or to-one relation; name a property of the entity')
  if (keys.length < 2 && keys.includes(path)) rejectScope(entity, path, KEY)
  return [path, STAMP.name, ...(keys.includes(path) ? [] : keys)]
}

function isInClass(target: unknown, [name, ...rest]: readonly string[]): boolean {
  if (typeof target !== 'function' || target === Function.prototype) return false
  const { columns, relations, joinColumns, embeddeds } = getMetadataArgsStorage()
  const own = (args: { target: unknown; propertyName: string }) => args.target === target && args.propertyName === name
  const isToOne = relations.some(
    r => own(r) && (r.relationType === 'many-to-one' || (r.relationType === 'one-to-one' && joinColumns.some(own))),
  )
  if (rest.length === 0 ? columns.some(own) || isToOne : embeddeds.some(e => own(e) && isInClass(e.type(), rest))) return true
  return isInClass(Object.getPrototypeOf(target), [name as string, ...rest])
}

function isInSchema({ columns, relations, embeddeds }: EntitySchema['options'], [name = '', ...rest]: readonly string[]): boolean {
  if (rest.length) {
    const embedded = (embeddeds as Record<string, { schema: EntitySchema } | undefined> | undefined)?.[name]
    return embedded !== undefined && isInSchema(embedded.schema.options, rest)
  }
  const relation = (relations as Record<string, { type: string; joinColumn?: unknown } | undefined> | undefined)?.[name]
  const isToOne = relation?.type === 'many-to-one' || (relation?.type === 'one-to-one' && relation.joinColumn)
  return Boolean(isToOne) || Object.hasOwn(columns, name)
}
