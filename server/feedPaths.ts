// The collections of the feed by their paths.

import type { Collection } from '../src/changes/collections/collection.js'
import { BadRequestError } from '../src/protocol/errors.js'

export interface FeedPaths {
  /** Those that were asked about, parents before their children. */
  readonly collections: readonly Collection[]
  /** Paths that were asked about, and that are not served. */
  readonly unknown: readonly string[]
  /** By any of its paths. */
  find(path: string): Collection | undefined
  /** The path by which it was asked about, else its first. */
  pathOf(collection: Collection): string
}

/** Finds those of the served collections that have these paths, all where none are given. Throws BadRequestError where two paths are those of one collection. */
export function pathsOf(all: readonly Collection[], asked: readonly string[] | undefined): FeedPaths {
  const find = (path: string) => all.find(c => c.paths.includes(path))
  const paths = new Map<Collection, string>()
  const unknown: string[] = []
  for (const path of asked ?? []) {
    const collection = find(path)
    if (!collection) unknown.push(path)
    else if (paths.has(collection)) throw new BadRequestError(`${paths.get(collection)} and ${path} are paths of one collection.`)
    else paths.set(collection, path)
  }
  return {
    collections: asked ? all.filter(c => paths.has(c)) : all,
    unknown,
    find,
    pathOf: collection => paths.get(collection) ?? (collection.paths[0] as string),
  }
}
