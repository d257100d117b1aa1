// What a watch promises to those who subscribe, on sql.js.

import { expect, test } from '@jest/globals'
import { DataSource, MoreThan } from 'typeorm'
import { SyncConfigurationError, watch } from 'typeorm-sync'
import { openOn } from '../../support/eachDatabase.js'
import { sleep, until } from '../../support/until.js'
import { ENTITIES, hear, List, Note, Task } from './world.js'

const order = { id: 'ASC' } as const

async function world() {
  const dataSource = await openOn('sqljs', ENTITIES)
  const tasks = dataSource.getRepository(Task)
  await tasks.insert([
    { id: 'a', name: 'milk' },
    { id: 'b', name: 'bread' },
  ])
  return { dataSource, tasks }
}

test('rows that did not change are the same objects, and the snapshot is, until something changes', async () => {
  const { tasks } = await world()
  const watched = watch(tasks, { order })
  const { shows, told } = hear(watched)
  await shows('name', ['milk', 'bread'])
  const first = watched.getSnapshot()
  expect(watched.getSnapshot()).toBe(first)
  await tasks.insert({ id: 'c', name: 'jam' })
  await shows('name', ['milk', 'bread', 'jam'])
  expect(watched.getSnapshot()).not.toBe(first)
  expect(watched.getSnapshot().rows.slice(0, 2)).toEqual(first.rows)
  for (const [i, row] of first.rows.entries()) expect(watched.getSnapshot().rows[i]).toBe(row)
  await tasks.update('a', { name: 'oat milk' })
  await shows('name', ['oat milk', 'bread', 'jam'])
  expect(watched.getSnapshot().rows[0]).not.toBe(first.rows[0])
  expect(watched.getSnapshot().rows[1]).toBe(first.rows[1])
  // what changes another row of the table changes nothing here
  const one = hear(watch(tasks, { where: { id: 'b' } }))
  await one.shows('name', ['bread'])
  await tasks.update('a', { name: 'soy milk' })
  await shows('name', ['soy milk', 'bread', 'jam'])
  expect(one.told.length).toBe(1)
  expect(told.length).toBe(4)
})

test('an object that was shown, changed and saved is shown anew, also where its table has no stamps', async () => {
  const { dataSource, tasks } = await world()
  const notes = dataSource.getRepository(Note)
  await notes.insert({ id: 'n', text: 'before' })
  const [watched, unsynced] = [watch(tasks, { order }), watch(notes)]
  const [heard, noted] = [hear(watched), hear(unsynced)]
  await heard.shows('name', ['milk', 'bread'])
  await noted.shows('text', ['before'])
  const [task, note] = [watched.getSnapshot().rows[0]!, unsynced.getSnapshot().rows[0]!]
  task.name = 'oat milk'
  note.text = 'after'
  await tasks.save(task)
  await notes.save(note)
  await until(() => heard.told.length === 2 && noted.told.length === 2)
  expect(watched.getSnapshot().rows[0]).toMatchObject({ name: 'oat milk' })
  expect(watched.getSnapshot().rows[0]).not.toBe(task)
  expect(unsynced.getSnapshot().rows[0]).toEqual({ id: 'n', text: 'after' })
  expect(unsynced.getSnapshot().rows[0]).not.toBe(note)
})

test('an object that was shown and changed is not shown as it was changed', async () => {
  const { tasks } = await world()
  const watched = watch(tasks, { order })
  const { shows } = hear(watched)
  await shows('name', ['milk', 'bread'])
  watched.getSnapshot().rows[0]!.name = 'never saved'
  await tasks.update('b', { name: 'rye' })
  await shows('name', ['milk', 'rye'])
})

test('queries never overlap, and the last one wins', async () => {
  const { dataSource, tasks } = await world()
  const { manager } = dataSource
  const find = manager.find.bind(manager) as (...given: unknown[]) => Promise<any>
  let [running, most, count] = [0, 0, 0]
  let goOn = () => {}
  const written = new Promise<void>(resolve => {
    goOn = resolve
  })
  manager.find = async (...given: unknown[]) => {
    most = Math.max(most, ++running)
    if (++count > 1) await written
    const rows = await find(...given)
    await sleep(20)
    running--
    return rows
  }
  const { shows } = hear(watch(tasks, { where: { id: 'a' } }))
  await shows('name', ['milk'])
  for (let i = 0; i < 20; i++) {
    await tasks.update('a', { name: `${i}` })
    await until(() => running)
    await sleep(5)
  }
  goOn()
  await shows('name', ['19'])
  expect(most).toBe(1)
  expect(count).toBeLessThan(8)
})

test('many watches share a look, and read nothing where nothing changes', async () => {
  const { dataSource, tasks } = await world()
  const { manager } = dataSource
  const find = manager.find.bind(manager) as (...given: unknown[]) => Promise<any>
  let count = 0
  manager.find = (...given: unknown[]) => {
    count++
    return find(...given)
  }
  const subscribers = [...dataSource.subscribers]
  const watches = Array.from({ length: 30 }, () => watch(tasks, { order }))
  const heard = watches.map(hear)
  await Promise.all(heard.map(each => each.shows('name', ['milk', 'bread'])))
  const before = count
  await dataSource.getRepository(List).insert({ id: 'l', name: 'list' })
  await sleep(500)
  expect(count).toBe(before)
  expect(dataSource.subscribers.length).toBe(subscribers.length + 1)
  for (const { end } of heard) end()
  expect(dataSource.subscribers).toEqual(subscribers)
})

test('what each of many watches reads is a task of its own: a page has its turn between them', async () => {
  const { dataSource, tasks } = await world()
  const { manager } = dataSource
  const find = manager.find.bind(manager) as (...given: unknown[]) => Promise<any>
  const turns: number[] = []
  let turn = 0
  let handle = setImmediate(function next() {
    turn++
    handle = setImmediate(next)
  })
  manager.find = (...given: unknown[]) => {
    turns.push(turn)
    return find(...given)
  }
  const heard = Array.from({ length: 10 }, () => hear(watch(tasks, { order })))
  await Promise.all(heard.map(each => each.shows('name', ['milk', 'bread'])))
  await tasks.update('a', { name: 'oat milk' })
  await Promise.all(heard.map(each => each.shows('name', ['oat milk', 'bread'])))
  clearImmediate(handle)
  expect(turns.length).toBe(20)
  expect(new Set(turns).size).toBe(20)
})

test('a loop gives what is new, and ends with the signal', async () => {
  const { tasks } = await world()
  const controller = new AbortController()
  const seen: string[] = []
  for await (const { rows } of watch(tasks, { order }, { signal: controller.signal })) {
    seen.push(rows.map(({ name }) => name).join())
    if (seen.length === 1) await tasks.delete('a')
    else if (seen.length === 2) setTimeout(() => controller.abort(), 50)
  }
  expect(seen).toEqual(['milk,bread', 'bread'])
  for await (const { rows } of watch(tasks, { order })) {
    expect(rows.length).toBe(1)
    break
  }
})

test('it ends with stop, and with its data source', async () => {
  const { dataSource, tasks } = await world()
  const [stopped, closed] = [watch(tasks), watch(tasks)]
  const heard = hear(stopped)
  hear(closed)
  await until(() => !stopped.getSnapshot().isLoading && !closed.getSnapshot().isLoading)
  stopped.stop()
  await tasks.delete('a')
  await until(() => closed.getSnapshot().rows.length === 1)
  expect(heard.told.length).toBe(1)
  const loop = (async () => {
    for await (const _ of closed);
    return 'ended'
  })()
  await dataSource.destroy()
  expect(await loop).toBe('ended')
  expect(() => watch(tasks)).toThrow(SyncConfigurationError)
  const plain = await new DataSource({ type: 'sqljs', entities: ENTITIES }).initialize()
  expect(() => watch(plain.getRepository(Task))).toThrow(SyncConfigurationError)
  await plain.destroy()
})

test('a listener that throws ends nothing', async () => {
  const { tasks } = await world()
  const watched = watch(tasks, { where: { name: MoreThan('c') } })
  const { error } = console
  const errors: unknown[] = []
  console.error = (...given: unknown[]) => errors.push(...given)
  try {
    watched.subscribe(() => {
      throw new Error('cannot draw')
    })
    const { shows } = hear(watched)
    await shows('name', ['milk'])
    await tasks.insert({ id: 'c', name: 'jam' })
    await shows('name', ['milk', 'jam'])
    expect(errors.length).toBe(2)
  } finally {
    console.error = error
  }
})
