// The application's own code: transactions of TypeORM, on a data source without sync.

import type { DataSource, EntityManager } from 'typeorm'
import type { Random } from '../simulation/random.js'
import { Item, type Kind, Part } from './database.js'
import { again, anyId, type Run, writtenOf, writtenSql } from './sqlWriters.js'
import { holdOf, say, type Written, wait } from './words.js'
import type { Write } from './writer.js'

class RolledBack extends Error {}

export function hostWriter(name: string, kind: Kind, dataSource: DataSource, { chance, pick, next }: Random): Write {
  let transactions = 0

  /** Gives what it removed. */
  async function change(manager: EntityManager, token: string): Promise<['item' | 'part', string][]> {
    const text = `${token}.${Math.floor(next() * 1e9)} ü`
    const version = () => 'version + 1'
    const run: Run = sql => manager.query(sql)
    const size = await manager.count(Item)
    const [item, part] = [await anyId(run, kind, 'item'), await anyId(run, kind, 'part')]
    if (item === undefined || part === undefined || size < 30 || chance(0.1)) {
      const saved = await manager.save(Item, { id: `${token}-${Math.floor(next() * 1e9)}`, text, version: 1 })
      await manager.save(
        Part,
        Array.from({ length: Math.floor(next() * 4) }, (_, i) => ({ id: `${saved.id}-${i}`, item: saved, text, version: 1 })),
      )
      return []
    }
    if (size > 60 || chance(0.04)) {
      await manager.delete(Item, { id: item })
      return [['item', item]]
    }
    await pick([
      () => manager.update(Item, { id: item }, { text, version }),
      () => manager.update(Part, { id: part }, { text, version }),
      () => manager.update(Part, { item: { id: item } }, { text, version }),
      () => manager.createQueryBuilder().update(Part).set({ text, version }).where('id LIKE :some', { some: '%1' }).execute(),
      async () => {
        const row = await manager.findOne(Item, { where: { id: item }, lock: { mode: 'pessimistic_write' } })
        if (row) await manager.save(Item, { ...row, text, version: row.version + 1 })
      },
      async () => {
        // a part moves to another parent
        await manager.update(Part, { id: part }, { text, version, item: { id: item } })
      },
    ])()
    if (!chance(0.15)) return []
    await manager.delete(Part, { id: part })
    return [['part', part]]
  }

  return async () => {
    const token = `${name}.${++transactions}`
    let [held, written, isCommitted]: [number, Written[], boolean] = [0, [], false]
    const hold = async () => {
      const milliseconds = holdOf(next())
      held += milliseconds
      await wait(milliseconds)
    }
    const retries = await again(async () => {
      ;[held, written, isCommitted] = [0, [], false]
      try {
        await dataSource.transaction(async manager => {
          const removed: ['item' | 'part', string][] = []
          const isHeld = chance(0.05)
          if (isHeld && chance(0.2)) {
            await manager.count(Part)
            await hold()
          }
          for (let i = Math.floor(next() * 3); i >= 0; i--) {
            if (chance(0.2)) {
              // a savepoint that is rolled back
              const undone = manager.transaction(async inner => {
                await change(inner, token)
                throw new RolledBack()
              })
              await undone.catch(error => {
                if (!(error instanceof RolledBack)) throw error
              })
            } else removed.push(...(await change(manager, token)))
            if (isHeld && i === 0) await hold()
          }
          written = writtenOf(await manager.query(writtenSql(token, removed)))
          if (chance(0.25)) throw new RolledBack()
        })
        isCommitted = true
      } catch (error) {
        if (!(error instanceof RolledBack)) throw error
      }
    })
    if (retries !== undefined)
      say({ said: 'transaction', by: 'host', committed: isCommitted, held, retries, written: isCommitted ? written : [] })
  }
}
