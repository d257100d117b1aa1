// Hooks for React: what is watched, as components show it.

import { useCallback, useState, useSyncExternalStore } from 'react'
import { DataSource, type FindManyOptions, type ObjectLiteral, type Repository } from 'typeorm'
import type { KeptSynced } from '../entity/keep/keepSynced.js'
import { type KeptStatus, NEW } from '../entity/keep/status.js'
import { isEqual } from '../entity/watch/isEqual.js'
import { watch } from '../entity/watch/watch.js'
import { type ConflictCalls, type ConflictWatch, watchConflicts } from '../entity/watch/watchConflicts.js'
import type { Watch, WatchSnapshot } from '../entity/watch/watched.js'
import type { UnresolvedConflict } from '../sync/conflicts/listed.js'

/** What a server renders, and what is shown of a database that is not open yet. */
const LOADING: WatchSnapshot<never> = { rows: [], isLoading: true, error: undefined }

/**
 * The rows that `repository.find(options)` gives: the component renders again when they have changed. Options are compared by value, so that they may be written
 * where they are used; functions in them by their text. While there is no repository, the rows are loading.
 */
export function useRows<Entity extends ObjectLiteral>(
  repository: Repository<Entity> | undefined,
  options?: FindManyOptions<Entity>,
): WatchSnapshot<Entity> {
  const manager = repository?.manager
  const sources = [repository?.target, manager, openingOf(manager?.dataSource)]
  const watched = useMade(repository && (() => watch(repository, options)), sources, options)
  return useSnapshot(watched)
}

/** The conflicts that nobody has decided, with what decides them. */
export interface Conflicts<Entity extends ObjectLiteral> extends WatchSnapshot<UnresolvedConflict<Entity>>, ConflictCalls<Entity> {}

/** The conflicts of an entity, or of all of a data source, that nobody has decided, with what decides them. */
export function useConflicts<Entity extends ObjectLiteral = ObjectLiteral>(
  target: Repository<Entity> | DataSource | undefined,
): Conflicts<Entity> {
  const sources = [target, openingOf(target instanceof DataSource ? target : target?.manager.dataSource)]
  const watched: ConflictWatch<Entity> | undefined = useMade(target && (() => watchConflicts<Entity>(target)), sources)
  const snapshot = useSnapshot<UnresolvedConflict<Entity>>(watched)
  return { ...snapshot, resolve: watched?.resolve ?? notOpen, discard: watched?.discard ?? notOpen }
}

const notOpen = async () => {
  throw new Error('There is no database yet.')
}

/** The status of what is kept in sync; a new one while there is none. */
export function useSyncStatus(kept: KeptSynced | undefined): KeptStatus {
  const subscribe = useCallback((changed: () => void) => kept?.subscribe(changed) ?? (() => {}), [kept])
  const read = () => kept?.status ?? NEW
  return useSyncExternalStore(subscribe, read, () => NEW)
}

/** Another object each time that the data source is initialised: what was watched before has ended. */
const openingOf = (dataSource: DataSource | undefined) => dataSource?.entityMetadatas

/** The same thing for as long as its sources are the same objects, and its options say the same. */
function useMade<T>(make: (() => T) | undefined, sources: readonly unknown[], options?: unknown): T | undefined {
  const [held, hold] = useState(() => ({ sources, options, made: make?.() }))
  if (sources.every((source, i) => source === held.sources[i]) && isEqual(held.options, options)) return held.made
  const next = { sources, options, made: make?.() }
  hold(next)
  return next.made
}

const subscribeToNothing = () => () => {}
const readLoading = () => LOADING

function useSnapshot<Row>(watched: Watch<Row> | undefined): WatchSnapshot<Row> {
  return useSyncExternalStore(watched?.subscribe ?? subscribeToNothing, watched?.getSnapshot ?? readLoading, readLoading)
}
