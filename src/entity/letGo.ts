// What works with a data source by itself, and has to end before somebody else gets the database.

import type { DataSource } from 'typeorm'

const workers = new WeakMap<DataSource, Set<() => Promise<void>>>()

/** Has `stop` called when the data source is let go; returns a function that ends this. */
export function onLetGo(dataSource: DataSource, stop: () => Promise<void>): () => void {
  const stops = workers.get(dataSource) ?? new Set()
  workers.set(dataSource, stops)
  stops.add(stop)
  return () => void stops.delete(stop)
}

/** Ends all that works with the data source by itself; resolves when nothing of it runs any more. */
export async function letGo(dataSource: DataSource): Promise<void> {
  await Promise.all([...(workers.get(dataSource) ?? [])].map(stop => stop()))
}
