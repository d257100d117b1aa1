import { createContext, useContext, useEffect, useState, useSyncExternalStore } from 'react'
import type { FindManyOptions, ObjectLiteral, Repository } from 'typeorm'
import { journal, type KeptStatus, type KeptSynced, type UnresolvedConflict } from 'typeorm-sync'
import type { Opened } from './sync.js'

function usePolled<T>(read: () => Promise<T>, key: string): T | undefined {
  const [value, setValue] = useState<{ key: string; text: string; value: T }>()
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key says it
  useEffect(() => {
    let on = true
    const look = async () => {
      const next = await read()
      const text = JSON.stringify(next)
      if (on) setValue(was => (was?.key === key && was.text === text ? was : { key, text, value: next }))
    }
    void look()
    const timer = setInterval(look, 200)
    return () => {
      on = false
      clearInterval(timer)
    }
  }, [key])
  return value?.key === key ? value.value : undefined
}

export const useRows = <E extends ObjectLiteral>(repository: Repository<E>, options: FindManyOptions<E> = {}) =>
  usePolled(() => repository.find(options), repository.metadata.name + JSON.stringify(options))
export const useCount = <E extends ObjectLiteral>(repository: Repository<E>, options: FindManyOptions<E> = {}) =>
  usePolled(() => repository.count(options), repository.metadata.name + JSON.stringify(options))

export const OpenedContext = createContext<Opened>(null as never)
export const useOpened = () => useContext(OpenedContext)

export function useSyncStatus(kept: KeptSynced): KeptStatus {
  return useSyncExternalStore(
    listener => kept.subscribe(listener),
    () => kept.status,
  )
}
export type AnyConflict = UnresolvedConflict<ObjectLiteral>
export function useConflicts(): AnyConflict[] {
  const { dataSource } = useOpened()
  const read = async () => {
    const all: AnyConflict[] = []
    for (const { target } of dataSource.entityMetadatas)
      all.push(...(await journal(dataSource.getRepository<ObjectLiteral>(target)).conflicts()))
    return all
  }
  return usePolled(read, 'conflicts') ?? []
}
