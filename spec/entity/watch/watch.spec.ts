// What a watch shows, on every kind of database: what is committed, by whomever, and nothing else.

import { describe, expect, test } from '@jest/globals'
import { watch } from 'typeorm-sync'
import { databaseOn, openIn, openOn, SERVERS, sql } from '../../support/eachDatabase.js'
import { sleep, until } from '../../support/until.js'
import { ENTITIES, hear, List, Note, Tag, Task } from './world.js'

const order = { id: 'ASC' } as const

describe.each(['sqljs', ...SERVERS] as const)('on %s', kind => {
  test('the rows are there, and again after a save, SQL, a transaction and a removal', async () => {
    const dataSource = await openOn(kind, ENTITIES)
    const tasks = dataSource.getRepository(Task)
    await tasks.insert({ id: 'a', name: 'milk' })
    const watched = watch(tasks, { order })
    expect(watched.getSnapshot()).toEqual({ rows: [], isLoading: true, error: undefined })
    const { shows, told, end } = hear(watched)
    await shows('name', ['milk'])
    expect(told).toEqual([{ rows: [expect.objectContaining({ id: 'a' })], isLoading: false, error: undefined }])
    await tasks.save({ id: 'b', name: 'bread' })
    await shows('name', ['milk', 'bread'])
    await sql(dataSource, `UPDATE "watched_task" SET "name" = 'butter' WHERE "id" = 'b'`)
    await shows('name', ['milk', 'butter'])
    await dataSource.transaction(async manager => {
      await manager.update(Task, 'a', { name: 'oat milk' })
      await manager.insert(Task, { id: 'c', name: 'jam' })
    })
    await shows('name', ['oat milk', 'butter', 'jam'])
    await sql(dataSource, `DELETE FROM "watched_task" WHERE "id" <> 'b'`)
    await shows('name', ['butter'])
    expect(told.map(({ rows }) => rows.length)).toEqual([1, 2, 2, 3, 1])
    end()
    await tasks.insert({ id: 'd', name: 'unseen' })
    await sleep(300)
    expect(told.length).toBe(5)
    // it may begin again
    hear(watched)
    await shows('name', ['butter', 'unseen'])
  })

  test('nothing of a transaction is shown before it is committed, and nothing of one that is rolled back', async () => {
    const dataSource = await openOn(kind, ENTITIES)
    const tasks = dataSource.getRepository(Task)
    await tasks.insert({ id: 'a', name: 'milk' })
    const [before, meanwhile] = [watch(tasks, { order }), watch(tasks, { order })]
    const heard = hear(before)
    await heard.shows('name', ['milk'])
    const work = dataSource.transaction(async manager => {
      await manager.insert(Task, { id: 'b', name: 'half' })
      hear(meanwhile)
      await sleep(400)
      await manager.update(Task, 'b', { name: 'whole' })
    })
    await work
    await hear(meanwhile).shows('name', ['milk', 'whole'])
    await heard.shows('name', ['milk', 'whole'])
    const failing = dataSource.transaction(async manager => {
      await manager.delete(Task, 'a')
      await sleep(300)
      throw new Error('changed my mind')
    })
    await expect(failing).rejects.toThrow('changed my mind')
    await sleep(300)
    expect(heard.told.map(({ rows }) => rows.map(row => row.name))).toEqual([['milk'], ['milk', 'whole']])
  })

  test('it reads again when a table of a relation changes, and not for another one', async () => {
    const dataSource = await openOn(kind, ENTITIES)
    const [lists, tasks, tags] = [List, Task, Tag].map(entity => dataSource.getRepository<any>(entity))
    await lists!.insert({ id: 'l', name: 'shop' })
    await tasks!.insert({ id: 'a', name: 'milk', list: { id: 'l' } })
    const alone = hear(watch(dataSource.getRepository(List), { where: { name: 'shop' } }))
    const joined = watch(dataSource.getRepository(Task), { relations: { list: true, tags: true } })
    const deep = watch(dataSource.getRepository(List), { where: { tasks: { name: 'milk' } } })
    const [heard, found] = [hear(joined), hear(deep)]
    await Promise.all([alone, heard, found].map(each => each.shows('id', [each === heard ? 'a' : 'l'])))
    await lists!.update('l', { name: 'shopping' })
    await until(() => joined.getSnapshot().rows[0]?.list?.name === 'shopping')
    await alone.shows('id', [])
    await tags!.insert({ id: 't', name: 'cold' })
    await tasks!.save({ id: 'a', tags: [{ id: 't' }] })
    await until(() => joined.getSnapshot().rows[0]?.tags?.length === 1)
    await tasks!.update('a', { name: 'oat milk' })
    await found.shows('id', [])
    expect(alone.told.length).toBe(2)
  })

  test('a table that is not synced: what this process writes is shown', async () => {
    const dataSource = await openOn(kind, ENTITIES)
    const notes = dataSource.getRepository(Note)
    const { shows } = hear(watch(notes, { order }))
    await notes.save({ id: 'a', text: 'note' })
    await shows('text', ['note'])
    await sql(dataSource, `UPDATE "watched_note" SET "text" = 'raw'`)
    await shows('text', ['raw'])
    await dataSource.transaction(manager => manager.insert(Note, { id: 'b', text: 'committed' }))
    await shows('text', ['raw', 'committed'])
    await dataSource.getRepository(Task).insert({ id: 't', name: 'task' })
    await notes.update('a', { task: { id: 't' } })
    await dataSource.getRepository(Task).delete('t')
    await shows('text', ['committed'])
    // its own queries are no reason to read again
    const prototype = Object.getPrototypeOf(dataSource.manager)
    const { find } = prototype
    let count = 0
    prototype.find = function (...given: unknown[]) {
      count++
      return find.apply(this, given)
    }
    // what was written before may have it read once more
    let before: number
    let tries = 0
    do {
      before = count
      await sleep(400)
    } while (count > before && ++tries < 10)
    await sleep(800)
    prototype.find = find
    expect(count).toBe(before)
  })

  test('a failure is shown, and watching goes on', async () => {
    const dataSource = await openOn(kind, ENTITIES)
    const tasks = dataSource.getRepository(Task)
    await tasks.insert({ id: 'a', name: 'milk' })
    const watched = watch(tasks)
    const { shows } = hear(watched)
    await shows('name', ['milk'])
    let failures = 0
    const fail = () => {
      failures++
      throw new Error('no luck')
    }
    const prototype = Object.getPrototypeOf(dataSource.manager)
    const { find } = prototype
    prototype.find = fail
    try {
      await tasks.update('a', { name: 'bread' })
      await until(() => watched.getSnapshot().error)
      expect(watched.getSnapshot()).toMatchObject({ rows: [{ name: 'milk' }], isLoading: false, error: { message: 'no luck' } })
    } finally {
      prototype.find = find
    }
    await shows('name', ['bread'])
    expect(watched.getSnapshot().error).toBeUndefined()
    expect(failures).toBeLessThan(6)
  })
})

describe.each(SERVERS)('on %s', kind => {
  test('what another process commits is shown', async () => {
    const options = await databaseOn(kind)
    const here = await openIn(options, ENTITIES)
    const there = await openIn(options, ENTITIES)
    const { shows } = hear(watch(here.getRepository(Task), { order }))
    await there.getRepository(Task).insert({ id: 'a', name: 'theirs' })
    await shows('name', ['theirs'])
    await sql(there, `DELETE FROM "watched_task"`)
    await shows('name', [])
    if (kind !== 'libsql') return
    const notes = hear(watch(here.getRepository(Note)))
    await until(() => notes.told.length)
    await there.getRepository(Note).insert({ id: 'a', text: 'not synced' })
    await notes.shows('text', ['not synced'])
  })
})
