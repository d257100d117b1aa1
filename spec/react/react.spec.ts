// The hooks, as an application uses them: with React's test library, on sql.js and over real HTTP.

import './browser.js'
import { afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { act, cleanup, configure, render, screen, waitFor } from '@testing-library/react'
import { createElement, memo, StrictMode, useState } from 'react'
import { renderToString } from 'react-dom/server'
import { type DataSource, EntitySchema, In, MoreThan, Not, Raw, type Repository } from 'typeorm'
import { enableSync, type KeptSynced, keepSynced, syncAll } from 'typeorm-sync'
import { useConflicts, useRows, useSyncStatus } from 'typeorm-sync/react'
import { device, startServer } from '../stories/devices.js'
import { LIMIT, sleep } from '../support/until.js'

interface Task {
  id: string
  name: string
}
const Task = new EntitySchema<Task>({
  ...{ name: 'ShownTask', tableName: 'shown_task' },
  columns: { id: { type: 'varchar', length: 64, primary: true }, name: { type: 'varchar', length: 64 } },
})
enableSync(Task, '/shownTasks')

configure({ asyncUtilTimeout: LIMIT })
// updates come from the database, as in a browser: not from what a test does
beforeAll(() => void Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: false }))

const open: (() => unknown)[] = []
afterEach(async () => {
  cleanup()
  for (const close of open.splice(0).reverse()) await close()
})

async function newDevice(url = 'http://127.0.0.1:9') {
  const dataSource = await device([Task], url)
  open.push(async () => dataSource.isInitialized && (await dataSource.destroy()))
  return { dataSource, tasks: dataSource.getRepository(Task) }
}

async function newServer() {
  const server = await startServer([Task])
  open.push(() => server.stop())
  return server
}

let drawn: string[] = []
const Row = memo(({ task }: { task: Task }) => {
  drawn.push(task.name)
  return createElement('li', null, task.name)
})
function Tasks({ tasks, from = '' }: { tasks: Repository<Task> | undefined; from?: string }) {
  const { rows, isLoading, error } = useRows(tasks, { where: { id: MoreThan(from) }, order: { id: 'ASC' } })
  if (isLoading) return 'loading'
  return createElement(
    'ul',
    null,
    error ? String(error) : undefined,
    rows.map(task => createElement(Row, { key: task.id, task })),
  )
}
const shown = () => screen.queryAllByRole('listitem').map(item => item.textContent)
const shows = (names: string[]) => waitFor(() => expect(shown()).toEqual(names))

describe('useRows', () => {
  test('shows rows, what is written, and what a sync brings; draws only what changed', async () => {
    const { url, dataSource: there } = await newServer()
    const { tasks, dataSource } = await newDevice(url)
    await tasks.insert({ id: 'a', name: 'milk' })
    render(createElement(Tasks, { tasks }))
    expect(screen.getByText('loading')).toBeTruthy()
    await shows(['milk'])
    drawn = []
    await tasks.save({ id: 'b', name: 'bread' })
    await shows(['milk', 'bread'])
    expect(drawn).toEqual(['bread'])
    await there.getRepository(Task).insert({ id: 'c', name: 'jam' })
    await syncAll(dataSource)
    await shows(['milk', 'bread', 'jam'])
    await there.getRepository(Task).delete('a')
    await syncAll(dataSource)
    await shows(['bread', 'jam'])
    expect(drawn).toEqual(['bread', 'jam'])
  })

  test('in strict mode, with other options, and unmounted', async () => {
    const { tasks, dataSource } = await newDevice()
    const subscribers = dataSource.subscribers.length
    await tasks.insert([
      { id: 'a', name: 'milk' },
      { id: 'b', name: 'bread' },
    ])
    const element = (from?: string) => createElement(StrictMode, null, createElement(Tasks, { tasks, from }))
    const { rerender, unmount } = render(element())
    await shows(['milk', 'bread'])
    await tasks.update('b', { name: 'rye' })
    await shows(['milk', 'rye'])
    rerender(element('a'))
    await shows(['rye'])
    expect(dataSource.subscribers.length).toBe(subscribers + 1)
    unmount()
    expect(dataSource.subscribers.length).toBe(subscribers)
  })

  test('options that say the same read nothing again', async () => {
    const { tasks, dataSource } = await newDevice()
    await tasks.insert({ id: 'a', name: 'milk' })
    let count = 0
    const { manager } = dataSource
    const find = manager.find.bind(manager) as (...given: unknown[]) => Promise<any>
    manager.find = (...given: unknown[]) => {
      count++
      return find(...given)
    }
    let again = () => {}
    function Several() {
      const [, set] = useState(0)
      again = () => set(n => n + 1)
      const { rows } = useRows(tasks, {
        where: [{ id: In(['a', 'b']), name: Not('x') }, { name: Raw(alias => `${alias} = :name`, { name: 'y' }) }],
        order: { id: 'ASC' },
      })
      return createElement('p', null, rows.length)
    }
    render(createElement(Several))
    await waitFor(() => expect(screen.getByText('1')).toBeTruthy())
    expect(count).toBe(1)
    for (let i = 0; i < 5; i++) act(() => again())
    await act(() => sleep(300))
    expect(count).toBe(1)
  })

  test('a database that was closed, and opened again', async () => {
    const { tasks, dataSource } = await newDevice()
    await tasks.insert({ id: 'a', name: 'milk' })
    const { rerender } = render(createElement(Tasks, { tasks }))
    await shows(['milk'])
    await dataSource.destroy()
    await sleep(300)
    rerender(createElement(Tasks, { tasks }))
    expect(shown()).toEqual(['milk'])
    await dataSource.initialize()
    await tasks.insert({ id: 'b', name: 'of another day' })
    rerender(createElement(Tasks, { tasks }))
    await shows(['of another day'])
  })

  test('where there is no database yet, and on a server', async () => {
    const { tasks } = await newDevice()
    await tasks.insert({ id: 'a', name: 'milk' })
    expect(renderToString(createElement(Tasks, { tasks }))).toBe('loading')
    const { rerender } = render(createElement(Tasks, { tasks: undefined }))
    expect(screen.getByText('loading')).toBeTruthy()
    rerender(createElement(Tasks, { tasks }))
    await shows(['milk'])
  })
})

test('useSyncStatus shows what keepSynced does', async () => {
  const { url } = await newServer()
  const { dataSource, tasks } = await newDevice(url)
  function Status({ kept }: { kept: KeptSynced | undefined }) {
    const { state, pending, lastSuccess } = useSyncStatus(kept)
    return `${state} ${pending} ${lastSuccess ? 'synced' : 'new'}`
  }
  expect(renderToString(createElement(Status, { kept: undefined }))).toBe('idle 0 new')
  const { rerender } = render(createElement(Status, { kept: undefined }))
  await tasks.insert({ id: 'a', name: 'milk' })
  const kept = keepSynced(dataSource, { live: false })
  open.push(() => kept.stop())
  rerender(createElement(Status, { kept }))
  await waitFor(() => expect(screen.getByText('idle 0 synced')).toBeTruthy())
})

describe('useConflicts', () => {
  async function conflict() {
    const { url, dataSource: there } = await newServer()
    const { dataSource, tasks } = await newDevice(url)
    await tasks.insert({ id: 'a', name: 'milk' })
    await syncAll(dataSource)
    await there.getRepository(Task).update('a', { name: 'theirs' })
    await tasks.update('a', { name: 'ours' })
    return { dataSource, tasks, there }
  }
  function Conflicts({ target }: { target: DataSource | Repository<Task> | undefined }) {
    const { rows, resolve, discard, isLoading } = useConflicts<Task>(target)
    if (isLoading) return 'loading'
    if (!rows.length) return 'none'
    return rows.map(row =>
      createElement(
        'section',
        { key: row.id },
        `${row.entity}: ${row.local?.name} or ${row.remote?.name}`,
        createElement('button', { type: 'button', onClick: () => resolve(row, { name: 'both' }) }, 'both'),
        createElement('button', { type: 'button', onClick: () => discard(row) }, 'theirs'),
      ),
    )
  }

  test.each(['of a data source', 'of an entity'])('%s: shows what a sync brings, and what was decided', async which => {
    const { dataSource, tasks, there } = await conflict()
    const target = which === 'of an entity' ? tasks : dataSource
    const { rerender } = render(createElement(Conflicts, { target: undefined }))
    expect(screen.getByText('loading')).toBeTruthy()
    rerender(createElement(Conflicts, { target }))
    await waitFor(() => expect(screen.getByText('none')).toBeTruthy())
    await syncAll(dataSource)
    await waitFor(() => expect(screen.getByText(/ours or theirs/)).toBeTruthy())
    act(() => screen.getByText('both').click())
    await waitFor(() => expect(screen.getByText('none')).toBeTruthy())
    expect(await tasks.findOneBy({ id: 'a' })).toMatchObject({ name: 'both' })
    await there.getRepository(Task).update('a', { name: 'theirs again' })
    await syncAll(dataSource)
    await waitFor(() => expect(screen.getByText(/both or theirs again/)).toBeTruthy())
    act(() => screen.getByText('theirs').click())
    await waitFor(() => expect(screen.getByText('none')).toBeTruthy())
    expect(await tasks.findOneBy({ id: 'a' })).toMatchObject({ name: 'theirs again' })
  })
})
