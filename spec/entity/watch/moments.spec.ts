// A watch shows what is committed at one moment, also where others write while it reads.

import { describe, expect, test } from '@jest/globals'
import type { DataSource } from 'typeorm'
import { watch } from 'typeorm-sync'
import { databaseOn, openIn, openOn, SERVERS, sql } from '../../support/eachDatabase.js'
import { sleep, until } from '../../support/until.js'
import { ENTITIES, hear, List, Note, Task } from './world.js'

/** Calls this within each query of several statements, after its first one. */
function amidReads(dataSource: DataSource, meanwhile: () => Promise<unknown>): () => void {
  let isAmid = false
  const subscribers = dataSource.subscribers as { afterQuery?(event: { query: string }): unknown }[]
  const subscriber = {
    async afterQuery({ query }: { query: string }) {
      if (isAmid || !/FROM .watched_list/.test(query) || !query.startsWith('SELECT')) return
      isAmid = true
      await meanwhile()
      isAmid = false
    },
  }
  subscribers.push(subscriber)
  return () => void subscribers.splice(subscribers.indexOf(subscriber), 1)
}

describe.each(['sqljs', ...SERVERS] as const)('on %s', kind => {
  test('what is committed between two statements of a query is not half of what is shown', async () => {
    const dataSource = await openOn(kind, ENTITIES)
    const [lists, tasks] = [dataSource.getRepository(List), dataSource.getRepository(Task)]
    await lists.insert({ id: 'l', name: '0' })
    await tasks.insert({ id: 't', name: '0', list: { id: 'l' } })
    let count = 0
    const end = amidReads(dataSource, async () => {
      if (++count > 3) return
      await dataSource.transaction(async manager => {
        await manager.update(List, 'l', { name: `${count}` })
        await manager.update(Task, 't', { name: `${count}` })
      })
    })
    const { told } = hear(watch(lists, { relations: { tasks: true }, relationLoadStrategy: 'query' }))
    await until(() => told.at(-1)?.rows[0]?.name === '3')
    end()
    for (const { rows } of told) expect(rows[0]?.tasks?.[0]?.name).toBe(rows[0]?.name)
  })
})

describe.each(['sqljs', 'libsql'] as const)('on %s, where a connection is shared,', kind => {
  test('a transaction that is begun by hand is shown when it is committed, and not when it is rolled back', async () => {
    const dataSource = await openOn(kind, ENTITIES)
    const [tasks, notes] = [dataSource.getRepository(Task), dataSource.getRepository(Note)]
    const [heard, noted] = [hear(watch(tasks, { order: { id: 'ASC' } })), hear(watch(notes))]
    await until(() => heard.told.length && noted.told.length)
    await dataSource.query('BEGIN')
    await tasks.insert({ id: 'a', name: 'half' })
    await notes.insert({ id: 'a', text: 'half' })
    await sleep(300)
    await dataSource.query('ROLLBACK')
    await sleep(300)
    await dataSource.query('BEGIN')
    await tasks.insert({ id: 'b', name: 'half' })
    await sleep(300)
    await tasks.update('b', { name: 'whole' })
    await notes.insert({ id: 'b', text: 'whole' })
    await dataSource.query('COMMIT')
    await heard.shows('name', ['whole'])
    await noted.shows('text', ['whole'])
    expect([heard.told.length, noted.told.length]).toEqual([2, 2])
  })

  test('what is rolled back while a query reads is not shown', async () => {
    const dataSource = await openOn(kind, ENTITIES)
    const lists = dataSource.getRepository(List)
    await lists.insert({ id: 'l', name: 'true' })
    const { find } = Object.getPrototypeOf(dataSource.manager)
    let count = 0
    dataSource.manager.find = async function (this: unknown, ...given: never[]) {
      if (++count > 2) return find.apply(this, given)
      // nobody else runs until the query has begun
      await dataSource.query('BEGIN')
      await dataSource.query(`UPDATE watched_list SET name = 'never'`)
      const rows = await find.apply(this, given)
      await dataSource.query('ROLLBACK')
      return rows
    } as typeof dataSource.manager.find
    const { told } = hear(watch(lists))
    await until(() => told.length)
    await sleep(300)
    expect(told.map(({ rows }) => rows[0]?.name)).toEqual(['true'])
    expect(count).toBe(3)
  })
})

test('a page that was hidden looks when it is shown again', async () => {
  const options = await databaseOn('libsql')
  const [here, there] = [await openIn(options, ENTITIES), await openIn(options, ENTITIES)]
  const document = Object.assign(new EventTarget(), { visibilityState: 'hidden' })
  Object.assign(globalThis, { document })
  const { setTimeout } = globalThis
  try {
    const { shows, told } = hear(watch(here.getRepository(Task)))
    await until(() => told.length)
    // its timers wait
    globalThis.setTimeout = ((run: () => void, after?: number) => setTimeout(run, after === 200 ? 60_000 : after)) as typeof setTimeout
    await sleep(300)
    await sql(there, `INSERT INTO watched_task (id, name) VALUES ('a', 'theirs')`)
    await sleep(400)
    expect(told.length).toBe(1)
    document.visibilityState = 'visible'
    document.dispatchEvent(new Event('visibilitychange'))
    await shows('name', ['theirs'])
  } finally {
    globalThis.setTimeout = setTimeout
    delete (globalThis as { document?: unknown }).document
  }
})
