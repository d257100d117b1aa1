// The query of a request becomes a message, or an error (PROTOCOL.md). Inside, types are trusted.

import { BadRequestError } from './errors.js'
import type { FeedQuery, PullQuery } from './messages.js'
import { isHeldScope, own } from './words.js'

type Query = Record<string, string | string[] | undefined>

const PARAMETERS = ['since', 'limit', 'after', 'min', 'collection', 'scope', 'seen', 'properties', 'principal', 'idempotency-key', 'schema']

const FEED_PARAMETERS = [...PARAMETERS.filter(name => name !== 'seen'), 'collections']

/** Throws BadRequestError for a name that looks like one of the protocol's and is none; others, such as a cache buster's, are passed over. */
function checkNames(query: Query, parameters: readonly string[]): void {
  for (const name of Object.keys(query)) {
    const meant = /^[^[.]*/.exec(name)?.[0].trim().toLowerCase() ?? ''
    if (parameters.includes(meant) && name !== meant)
      throw new BadRequestError(`A parameter is not called ${meant}, but looks like it: write ${meant}=…, once.`)
  }
}

/** The query of a GET. Throws BadRequestError: what is no stamp must not become a full dump by accident. */
export function readPullQuery(query: Query): PullQuery {
  checkNames(query, PARAMETERS)
  return { ...pageOf(query), ...given('properties', listOf(query, 'properties')) }
}

/** The query of a GET of the feed; without `collections` it is about all of them. Throws BadRequestError. */
export function readFeedQuery(query: Query): Omit<FeedQuery, 'collections'> & Partial<Pick<FeedQuery, 'collections'>> {
  checkNames(query, FEED_PARAMETERS)
  return {
    ...pageOf(query),
    ...given('collections', collectionsOf(query)),
    ...given('properties', propertiesByPath(query)),
  }
}

function pageOf(query: Query): Omit<PullQuery, 'properties'> {
  const limit = numberOf(query, 'limit')
  if (limit === 0) throw new BadRequestError('limit is 0; ask for one update at least.')
  return {
    since: sinceOf(query) ?? 0,
    ...given('limit', limit),
    ...given('after', textOf(query, 'after')),
    ...given('min', numberOf(query, 'min')),
    ...given('collection', textOf(query, 'collection')),
    ...given('scope', scopeOf(query)),
  }
}

/** The query of a POST. Throws BadRequestError. */
export function readPushQuery(query: Query): {
  since?: number
  collection?: string
  scope?: string
  seen?: ReadonlyMap<string, number>
  principal?: string
  key?: string
} {
  checkNames(query, PARAMETERS)
  return {
    ...given('since', sinceOf(query)),
    ...given('collection', textOf(query, 'collection')),
    ...given('scope', scopeOf(query)),
    ...given('seen', seenOf(query)),
    ...given('principal', textOf(query, 'principal')),
    ...given('key', textOf(query, 'idempotency-key')),
  }
}

/** The query of a POST to the feed. Throws BadRequestError. */
export function readFeedPushQuery(query: Query): {
  since?: number
  collection?: string
  scope?: string
  collections?: readonly string[]
  principal?: string
  key?: string
} {
  checkNames(query, FEED_PARAMETERS)
  return {
    ...given('since', sinceOf(query)),
    ...given('collection', textOf(query, 'collection')),
    ...given('scope', scopeOf(query)),
    ...given('collections', collectionsOf(query)),
    ...given('principal', textOf(query, 'principal')),
    ...given('key', textOf(query, 'idempotency-key')),
  }
}

/** The version of the client's schema, of any request. Throws BadRequestError. */
export function readSchema(query: Query): number | undefined {
  const schema = numberOf(query, 'schema')
  if (schema === 0) throw new BadRequestError('schema is 0; the first version is 1.')
  return schema
}

function scopeOf(query: Query): string | undefined {
  const scope = textOf(query, 'scope')
  if (scope === undefined || isHeldScope(scope)) return scope
  throw new BadRequestError('scope is no name of a set of keys: it is too long.')
}

function listOf(query: Query, name: string): string[] | undefined {
  return textOf(query, name)
    ?.split(',')
    .map(item => item.replaceAll('%2C', ','))
}

function collectionsOf(query: Query): string[] | undefined {
  const paths = listOf(query, 'collections')
  if (!paths) return
  if (!paths.every(path => path.startsWith('/')))
    throw new BadRequestError('collections is no list of paths, as in /taskChanges,/noteChanges.')
  if (new Set(paths).size < paths.length) throw new BadRequestError('collections names a path twice.')
  return paths
}

// «/taskChanges:color,/taskChanges:size»; a path may have a colon in it
function propertiesByPath(query: Query): Map<string, string[]> | undefined {
  const items = listOf(query, 'properties')
  if (!items) return
  const properties = new Map<string, string[]>()
  for (const item of items) {
    const [, path, property] = /^(\/.*):([^:]+)$/s.exec(item) ?? []
    if (path === undefined || property === undefined)
      throw new BadRequestError('properties is no list of paths and names, as in /taskChanges:color,/taskChanges:size.')
    const known = properties.get(path)
    if (known) known.push(property)
    else properties.set(path, [property])
  }
  return properties
}

// «12:/taskChanges,7:/noteChanges»: how far collections were read, by their paths
function seenOf(query: Query): ReadonlyMap<string, number> | undefined {
  const text = textOf(query, 'seen')
  if (!text) return
  return new Map(
    text.split(',').map(part => {
      const [, stamp = '', path] = /^(\d+):(\/.*)$/.exec(part) ?? []
      if (path && Number.isSafeInteger(Number(stamp))) return [path, Number(stamp)]
      throw new BadRequestError('seen is no list of stamps and paths, as in 12:/taskChanges,7:/noteChanges.')
    }),
  )
}

// persistence.js sends 'null' before its first success
function sinceOf(query: Query): number | undefined {
  const since = textOf(query, 'since')
  return since === '' || since === 'null' ? 0 : numberOf(query, 'since')
}

function numberOf(query: Query, name: string): number | undefined {
  const text = textOf(query, name)
  if (text === undefined) return
  const number = Number(text)
  // Number reads '1e3', '0x10' and ' ' as well
  if (/^\d+$/.test(text) && Number.isSafeInteger(number)) return number
  throw new BadRequestError(`${name} is not a whole number from 0 to ${Number.MAX_SAFE_INTEGER}, in digits.`)
}

function textOf(query: Query, name: string): string | undefined {
  const text: unknown = own(query, name)
  if (text === undefined || typeof text === 'string') return text
  throw new BadRequestError(`${name} is given more than once.`)
}

const given = <Name extends string, T>(name: Name, value: T | undefined) =>
  (value === undefined ? {} : { [name]: value }) as { [N in Name]?: T }
