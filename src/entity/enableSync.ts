// An entity says that it syncs. It gets the column that holds its stamps, and an index to read what changed by it.

import { type EntitySchema, getMetadataArgsStorage } from 'typeorm'
import type { IndexMetadataArgs } from 'typeorm/metadata-args/IndexMetadataArgs.js'
import { SyncConfigurationError } from '../errors.js'
import { STAMP } from './hiddenColumns.js'
import { type EnableSyncOptions, registerEntity, type SyncTarget } from './registry.js'
import { indexScopesOfClass, indexScopesOfSchema } from './scopeIndexes.js'

/**
 * Lets an entity sync with one server or several. Call it before the data source is initialised.
 *
 * A url is a path, completed by the data source's `server`, or absolute.
 * Throws SyncConfigurationError for a bad url; what else cannot be synced is rejected when the data source is initialised.
 */
export function enableSync(target: SyncTarget, url: string | readonly string[], options: EnableSyncOptions = {}): void {
  const urls: readonly string[] = Array.isArray(url) ? url : [url]
  const name = typeof target === 'function' ? target.name : target.options.name
  if (urls.length === 0) throw new SyncConfigurationError(`${name} has no url to sync with.`, { entity: name })
  const { scopes = [], formerly = [] } = options
  for (const each of [...urls, ...formerly]) checkUrl(each, name)
  if (typeof target === 'function') addToClass(target, scopes)
  else addToSchema(target, scopes)
  registerEntity(target, urls, options)
}

/** `enableSync` as a decorator; above or below `@Entity()`. */
export const EnableSync =
  (url: string | readonly string[], options?: EnableSyncOptions) =>
  (target: SyncTarget): void =>
    enableSync(target, url, options)

function checkUrl(url: unknown, entity: string): void {
  if (typeof url === 'string' && (/^\/(?!\/)/.test(url) ? !/[?#\s]/.test(url) : isHttpUrl(url))) return
  throw new SyncConfigurationError(
    `${entity} cannot sync with ${JSON.stringify(url)}: a url is a path, as '/taskChanges', or an absolute http(s) url.`,
    { entity },
  )
}

/** Is it an absolute http or https url? */
export function isHttpUrl(url: string): boolean {
  try {
    return /^https?:\/\//i.test(url) && new URL(url).host !== ''
  } catch {
    return false
  }
}

const ours = new WeakSet<IndexMetadataArgs>()

function addToClass(target: Exclude<SyncTarget, EntitySchema>, scopes: readonly string[]): void {
  const storage = getMetadataArgsStorage()
  // a class has the columns and indexes of the classes that it extends
  const family = familyOf(target)
  indexScopesOfClass(target, scopes, () => keysOf(family))
  if (!storage.columns.some(c => c.propertyName === STAMP.name && family.includes(c.target)))
    storage.columns.push({ target, propertyName: STAMP.name, mode: 'regular', options: { ...STAMP } })
  if (storage.indices.some(index => ours.has(index) && family.includes(index.target))) return
  const index: IndexMetadataArgs = { target, columns: () => [STAMP.name, ...keysOf(family)] }
  ours.add(index)
  const isInherited = (other: IndexMetadataArgs) => ours.has(other) && familyOf(other.target).includes(target)
  storage.indices.splice(0, storage.indices.length, ...storage.indices.filter(other => !isInherited(other)), index)
}

function familyOf(target: unknown): unknown[] {
  const family: unknown[] = []
  for (let each = target; typeof each === 'function' && each !== Function.prototype; each = Object.getPrototypeOf(each)) family.push(each)
  return family
}

// asked while the metadata is built, when every decorator has run
function keysOf(family: readonly unknown[], path: readonly string[] = []): string[] {
  const { columns, embeddeds } = getMetadataArgsStorage()
  const own = columns.filter(c => family.includes(c.target) && c.options.primary).map(c => [...path, c.propertyName].join('.'))
  const embedded = embeddeds.filter(e => family.includes(e.target))
  return [...new Set([...own, ...embedded.flatMap(e => keysOf(familyOf(e.type()), [...path, e.propertyName]))])]
}

function addToSchema(schema: EntitySchema, scopes: readonly string[]): void {
  const { options } = schema
  const columns = options.columns as Record<string, { primary?: boolean }>
  columns[STAMP.name] ??= { ...STAMP } as object
  const indices = (options.indices ?? []).filter(index => !(Array.isArray(index.columns) && index.columns[0] === STAMP.name))
  const keys = Object.keys(columns).filter(property => columns[property]?.primary)
  options.indices = [...indices, { columns: [STAMP.name, ...keys] }]
  indexScopesOfSchema(schema, scopes, keys)
}
