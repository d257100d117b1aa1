import 'reflect-metadata'
import { afterEach, describe, expect, test } from '@jest/globals'
import { type DataSource, EntitySchema } from 'typeorm'
import {
  type Conflict,
  type ConflictHandler,
  enableSync,
  journal,
  preferLocalConflictHandler,
  preferRemoteConflictHandler,
  syncAll,
} from 'typeorm-sync'
import { unappliedOf } from '../support/unapplied.js'
import { applyDecided, device, expectAtRest, expectEqual, startServer, syncAlone, testOnSqlite, Wire, withoutFeed } from './devices.js'

interface Row {
  id: string
  name: string
}
interface Task extends Row {
  project: Row | null
}
type OnDelete = 'CASCADE' | 'RESTRICT' | 'NO ACTION' | 'SET NULL'

const text = { type: 'varchar' } as const
const columns = { id: { ...text, primary: true }, name: text } as const

/** Tasks of a project, and steps of a task. */
function schemas(onDelete: OnDelete) {
  const belongsTo = (target: string) => ({ type: 'many-to-one', target, nullable: true, onDelete }) as const
  const Project = new EntitySchema<Row>({ name: 'Project', tableName: 'project', columns: { ...columns } })
  const Task = new EntitySchema<Task>({
    name: 'Task',
    tableName: 'task',
    columns: { ...columns },
    relations: { project: belongsTo('Project') },
  })
  const Step = new EntitySchema<Row & { task: Row | null }>({
    ...{ name: 'Step', tableName: 'step', columns: { ...columns }, relations: { task: belongsTo('Task') } },
  })
  enableSync(Project, '/projectChanges')
  enableSync(Task, '/taskChanges')
  enableSync(Step, '/stepChanges')
  return { Project, Task, Step, all: [Step, Task, Project] }
}

/** A folder in a folder. */
function tree(onDelete: OnDelete) {
  const Folder = new EntitySchema<Row & { parent: Row | null }>({
    ...{ name: 'Folder', tableName: 'folder', columns: { ...columns } },
    relations: { parent: { type: 'many-to-one', target: 'Folder', nullable: true, onDelete } },
  })
  enableSync(Folder, '/folderChanges')
  return Folder
}

const TABLES = ['project', 'task', 'step']
const open: { destroy(): Promise<void> }[] = []
afterEach(async () => {
  for (const each of open.splice(0)) await each.destroy()
})

async function world(entities: EntitySchema[], { pageSize = 2_000, batchSize = 1_000, hasFeed = true } = {}) {
  const server = await startServer(entities, { before: hasFeed ? [] : [withoutFeed] })
  open.push({ destroy: () => server.stop() })
  const wires = [new Wire(), new Wire()] as const
  const [alice, bob] = (await Promise.all(wires.map(({ fetch }) => device(entities, server.url, { fetch, pageSize, batchSize })))) as [
    DataSource,
    DataSource,
  ]
  open.unshift(alice, bob)
  return { server, alice, bob, wires, all: [server.dataSource, alice, bob] }
}

const put = (of: DataSource, table: string, id: string, name: string, parent?: [string, string | null]) =>
  of.query(`INSERT INTO "${table}" (id, name${parent ? `, "${parent[0]}"` : ''}) VALUES (?, ?${parent ? ', ?' : ''})`, [
    ...[id, name],
    ...(parent ? [parent[1]] : []),
  ])
const drop = (of: DataSource, table: string, id: string) => of.query(`DELETE FROM "${table}" WHERE id = ?`, [id])

const EACH: OnDelete[] = ['CASCADE', 'RESTRICT', 'NO ACTION', 'SET NULL']
const SMALL = [
  [1, 1],
  [2, 3],
  [3, 2],
] as const

describe.each(EACH)('ON DELETE %s', onDelete => {
  test.each(SMALL)(
    'tasks that are read before their project wait for it, and are there in the end (pages of %i, batches of %i)',
    async (pageSize, batchSize) => {
      const { Task, Step, all } = schemas(onDelete)
      const { alice, bob, all: databases, wires } = await world(all, { pageSize, batchSize, hasFeed: false })
      const [hers, his] = wires
      for (const p of ['p1', 'p2']) await put(alice, 'project', p, p)
      for (const t of ['t1', 't2', 't3', 't4']) await put(alice, 'task', t, t, ['projectId', t < 't3' ? 'p1' : 'p2'])
      for (const s of ['s1', 's2', 's3', 's4']) await put(alice, 'step', s, s, ['taskId', `t${s[1]}`])
      // children first: the server rejects them, and they are pushed again
      expect(await syncAlone(alice, hers, '/stepChanges')).toMatchObject({ pushed: 0, rejected: 4 })
      expect((await journal(alice.getRepository(Step)).rejected()).map(r => [r.id, r.code, r.property])).toEqual(
        ['s1', 's2', 's3', 's4'].map(s => [s, 'parent-missing', 'task']),
      )
      expect(await syncAlone(alice, hers, '/taskChanges')).toMatchObject({ pushed: 0, rejected: 4 })
      expect(await syncAlone(alice, hers, '/projectChanges')).toMatchObject({ pushed: 2, rejected: 0 })
      expect(await syncAlone(alice, hers, '/taskChanges')).toMatchObject({ pushed: 4, rejected: 0 })
      expect(await syncAlone(alice, hers, '/stepChanges')).toMatchObject({ pushed: 4, rejected: 0 })

      await syncAlone(bob, his, '/stepChanges')
      expect(await bob.query('SELECT id FROM step')).toEqual([])
      expect((await unappliedOf(journal(bob.getRepository(Step)))).map(w => [w.id, w.reason, w.local, w.remote?.name])).toEqual(
        ['s1', 's2', 's3', 's4'].map(s => [s, 'parent-missing', null, s]),
      )
      await syncAlone(bob, his, '/taskChanges')
      expect(await unappliedOf(journal(bob.getRepository(Task)))).toHaveLength(4)
      await syncAlone(bob, his, '/projectChanges')
      expect(await unappliedOf(journal(bob.getRepository(Task)))).toEqual([])
      await applyDecided([bob])
      await expectEqual(databases, TABLES)
      await expectAtRest([alice, bob], 3)
    },
  )

  test.each(SMALL)(
    'tasks that come on earlier pages of the feed than their project are there when it has come (pages of %i, batches of %i)',
    async (pageSize, batchSize) => {
      const { alice, bob, all: databases } = await world(schemas(onDelete).all, { pageSize, batchSize })
      for (const p of ['p1', 'p2']) await put(alice, 'project', p, p)
      for (const t of ['t1', 't2', 't3', 't4']) await put(alice, 'task', t, t, ['projectId', t < 't3' ? 'p1' : 'p2'])
      for (const s of ['s1', 's2', 's3', 's4']) await put(alice, 'step', s, s, ['taskId', `t${s[1]}`])
      // children have earlier stamps than their parents, here and there
      const edit = async (of: DataSource) => {
        for (const table of ['step', 'task', 'project'])
          for (const { id, name } of await of.query(`SELECT id, name FROM "${table}" ORDER BY id`))
            await of.query(`UPDATE "${table}" SET name = ? WHERE id = ?`, [`${name}!`, id])
      }
      await edit(alice)
      expect(await syncAll(alice)).toMatchObject({ rejected: 0, unapplied: 0 })
      await edit(databases[0] as DataSource)
      expect(await syncAll(bob)).toMatchObject({ pulled: 10, unapplied: 0, conflicts: 0 })
      await applyDecided([alice, bob])
      await expectEqual(databases, TABLES)
      expect(await bob.query('SELECT id FROM step WHERE name = ?', ['s1!!'])).toEqual([{ id: 's1' }])
      await expectAtRest([alice, bob])
    },
  )

  test.each(SMALL)('everything syncs at once, whatever the order (pages of %i, batches of %i)', async (pageSize, batchSize) => {
    const { alice, bob, all: databases } = await world(schemas(onDelete).all, { pageSize, batchSize })
    for (const [of, x] of [
      [alice, 'a'],
      [bob, 'b'],
    ] as const) {
      await put(of, 'project', `${x}p1`, x)
      for (const i of [1, 2, 3, 4, 5]) await put(of, 'task', `${x}t${i}`, x, ['projectId', i === 3 ? null : `${x}p1`])
      for (const i of [1, 2, 3, 4, 5]) await put(of, 'step', `${x}s${i}`, x, ['taskId', `${x}t${i}`])
    }
    await applyDecided([alice, bob])
    await expectEqual(databases, TABLES)
    // three levels go
    for (const table of ['step', 'task', 'project'])
      for (const { id } of await alice.query(`SELECT id FROM "${table}" WHERE id LIKE 'b%'`)) await drop(alice, table, id)
    await applyDecided([bob, alice])
    await expectEqual(databases, TABLES)
    expect(await bob.query('SELECT id FROM task ORDER BY id')).toHaveLength(5)
    await expectAtRest([alice, bob])
  })

  test.each(SMALL)('a tree of folders grows and falls (pages of %i, batches of %i)', async (pageSize, batchSize) => {
    const { alice, bob, all: databases } = await world([tree(onDelete)], { pageSize, batchSize })
    const ids = ['f1', 'f0', 'f3', 'f2', 'f5', 'f4', 'f6']
    for (const id of ids) await put(alice, 'folder', id, id, ['parentId', null])
    // children have lower ids and earlier stamps than their parents
    for (let i = 0; i + 1 < ids.length; i++) await alice.query('UPDATE folder SET "parentId" = ? WHERE id = ?', [ids[i + 1], ids[i]])
    await applyDecided([alice, bob])
    await expectEqual(databases, ['folder'])
    expect(await bob.query('SELECT id FROM folder')).toHaveLength(7)
    // the middle is cut out, the rest hangs up elsewhere
    await alice.query('UPDATE folder SET "parentId" = ? WHERE id = ?', ['f6', 'f0'])
    if (onDelete === 'CASCADE' || onDelete === 'SET NULL') await drop(alice, 'folder', 'f4')
    else for (const id of ['f1', 'f0', 'f3', 'f2', 'f5', 'f4']) await drop(alice, 'folder', id).catch(() => {})
    await applyDecided([alice, bob])
    await expectEqual(databases, ['folder'])
    await expectAtRest([alice, bob])
  })
})

// ---------------------------------------------------------------- a project goes while others work in it

type Work = 'adds a task' | 'edits a task' | 'moves a task away' | 'moves a task in'
const WORK: Record<Work, { task: string; do(bob: DataSource): Promise<unknown>; kept: Partial<Row & { projectId: string }> }> = {
  'adds a task': { task: 't2', do: bob => put(bob, 'task', 't2', 'new', ['projectId', 'p1']), kept: { name: 'new' } },
  'edits a task': { task: 't1', do: bob => bob.query(`UPDATE task SET name = 'edited' WHERE id = 't1'`), kept: { name: 'edited' } },
  'moves a task away': {
    task: 't1',
    do: bob => bob.query(`UPDATE task SET "projectId" = 'p2' WHERE id = 't1'`),
    kept: { projectId: 'p2' },
  },
  'moves a task in': { task: 't3', do: bob => bob.query(`UPDATE task SET "projectId" = 'p1' WHERE id = 't3'`), kept: { projectId: 'p1' } },
}

const handlers: [string, ConflictHandler | undefined][] = [
  ['keeps the local side', preferLocalConflictHandler],
  ['takes the remote side', preferRemoteConflictHandler],
  ['leaves it alone', undefined],
]

const cases = EACH.flatMap(onDelete =>
  (Object.keys(WORK) as Work[]).flatMap(work =>
    [true, false].flatMap(removerFirst =>
      handlers.map(([name, handler]) => ({ onDelete, work, first: removerFirst ? 'Alice' : 'Bob', name, handler })),
    ),
  ),
)

test.each(cases)(
  '$onDelete: Alice removes a project while Bob $work; $first syncs first, the handler $name',
  async ({ onDelete, work, first, handler }) => {
    const { alice, bob, all: databases } = await world(schemas(onDelete).all)
    for (const p of ['p1', 'p2']) await put(alice, 'project', p, p)
    await put(alice, 'task', 't1', 't1', ['projectId', 'p1'])
    await put(alice, 'task', 't3', 't3', ['projectId', 'p2'])
    await applyDecided([alice, bob])

    const { task, do: doIt, kept } = WORK[work]
    await doIt(bob)
    if (onDelete === 'RESTRICT' || onDelete === 'NO ACTION') await drop(alice, 'task', 't1')
    await drop(alice, 'project', 'p1')

    const seen = new Set<string>()
    const look: ConflictHandler | undefined =
      handler &&
      ((conflicts, updates) => {
        for (const c of conflicts as Conflict[]) for (const id of [c.id, ...c.children.map(child => child.id)]) seen.add(id)
        handler(conflicts, updates, () => {})
      })
    const order = first === 'Alice' ? [alice, bob] : [bob, alice]
    for (let round = 0; round < 4; round++) for (const each of order) await syncAll(each, look)
    if (!handler) {
      // what was left alone is still there, and comes again
      for (const each of [alice, bob]) {
        const unapplied = (await Promise.all(each.entityMetadatas.map(m => unappliedOf(journal(each.getRepository(m.target)))))).flat()
        for (const w of unapplied) expect(w.reason).not.toBe('not-valid')
      }
      await applyDecided(order, (conflicts, updates) => {
        for (const c of conflicts) for (const id of [c.id, ...c.children.map(child => child.id)]) seen.add(id)
        preferRemoteConflictHandler(conflicts, updates, () => {})
      })
    }
    await applyDecided(order, look)
    await expectEqual(databases, TABLES)
    await expectAtRest([alice, bob])
    const [end] = await alice.query('SELECT * FROM task WHERE id = ?', [task])
    if (!seen.has(task)) expect(end).toMatchObject(kept)
  },
)

describe.each(EACH)('ON DELETE %s, without a question', onDelete => {
  test('Alice moves her task to another project and removes the old one', async () => {
    const { alice, bob, all: databases } = await world(schemas(onDelete).all)
    await put(alice, 'project', 'p1', 'p1')
    await put(alice, 'task', 't1', 't1', ['projectId', 'p1'])
    await applyDecided([alice, bob])
    await put(alice, 'project', 'p2', 'p2')
    await alice.query(`UPDATE task SET "projectId" = 'p2'`)
    await drop(alice, 'project', 'p1')
    expect(await syncAll(alice)).toMatchObject({ conflicts: 0, unapplied: 0 })
    await applyDecided([alice, bob])
    await expectEqual(databases, TABLES)
    expect(await bob.query('SELECT "projectId" FROM task')).toEqual([{ projectId: 'p2' }])
    await expectAtRest([alice, bob])
  })

  test('Alice removes a project while Bob finishes, and removes, the last task of it', async () => {
    const { alice, bob, all: databases } = await world(schemas(onDelete).all)
    await put(alice, 'project', 'p1', 'p1')
    await put(alice, 'task', 't1', 't1', ['projectId', 'p1'])
    await applyDecided([alice, bob])
    await drop(bob, 'task', 't1')
    if (onDelete === 'RESTRICT' || onDelete === 'NO ACTION') await drop(alice, 'task', 't1')
    await drop(alice, 'project', 'p1')
    await applyDecided([alice, bob])
    await expectEqual(databases, TABLES)
    expect(await bob.query('SELECT * FROM task')).toEqual([])
    await expectAtRest([alice, bob])
  })

  test('Alice removes a project while Bob moves the task of it to another', async () => {
    const { alice, bob, all: databases } = await world(schemas(onDelete).all)
    for (const p of ['p1', 'p2']) await put(alice, 'project', p, p)
    await put(alice, 'task', 't1', 't1', ['projectId', 'p1'])
    await applyDecided([alice, bob])
    await bob.query(`UPDATE task SET "projectId" = 'p2'`)
    await syncAll(bob)
    await syncAll(alice)
    await drop(alice, 'project', 'p1')
    await applyDecided([alice, bob])
    await expectEqual(databases, TABLES)
    expect(await bob.query('SELECT "projectId" FROM task')).toEqual([{ projectId: 'p2' }])
    await expectAtRest([alice, bob])
  })
})

testOnSqlite('a removal takes ten thousand tasks along, on the server and on Bob’s device', async () => {
  const { server, alice, bob } = await world(schemas('CASCADE').all)
  for (const p of ['p1', 'p2']) await put(alice, 'project', p, p)
  await alice.query(`WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 10000)
      INSERT INTO task (id, name, "projectId") SELECT 't' || n, 'a task', 'p1' FROM i`)
  await put(alice, 'task', 'other', 'other', ['projectId', 'p2'])
  await put(alice, 'step', 's1', 's1', ['taskId', 't7000'])
  for (const each of [alice, bob]) await syncAll(each)
  // a client that has projects alone
  const removal = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '[{ "id": "p1", "_removed": true }]' }
  expect((await fetch(`${server.url}/projectChanges`, removal)).status).toBe(200)
  expect(await server.dataSource.query('SELECT id FROM task')).toEqual([{ id: 'other' }])
  expect(await server.dataSource.query('SELECT id FROM step')).toEqual([])
  expect(await syncAll(bob)).toMatchObject({ pulled: 10_002, conflicts: 0, unapplied: 0 })
  await expectEqual([server.dataSource, bob], TABLES)
  await expectAtRest([bob])
})

test.each(EACH)('ON DELETE %s: a task that moved away before its project was removed brings back its old steps', async onDelete => {
  const { alice, bob, all: databases } = await world(schemas(onDelete).all)
  for (const p of ['p1', 'p2']) await put(alice, 'project', p, p)
  await put(alice, 'task', 't1', 't1', ['projectId', 'p1'])
  await put(alice, 'step', 's1', 's1', ['taskId', 't1'])
  await applyDecided([alice, bob])
  await alice.query(`UPDATE task SET "projectId" = 'p2'`)
  await drop(alice, 'project', 'p1')
  await applyDecided([alice, bob])
  await expectEqual(databases, TABLES)
  expect(await bob.query('SELECT id FROM step')).toEqual([{ id: 's1' }])
  await expectAtRest([alice, bob])
})

test.each([true, false])(
  'a removal whose cascade reaches a task that the sender never saw is rejected, and asked about when it has seen it (feed: %s)',
  async hasFeed => {
    const { alice, bob, all: databases, wires } = await world(schemas('CASCADE').all, { hasFeed })
    const { Project, Task } = { Project: 'Project', Task: 'Task' }
    await put(alice, 'project', 'p1', 'p1')
    await applyDecided([alice, bob])
    await drop(alice, 'project', 'p1')
    // Bob's task arrives when Alice has read all there is, and before she pushes
    let isFirst = true
    wires[0].before = async ({ method }) => {
      if (method !== 'POST' || !isFirst) return
      isFirst = false
      await put(bob, 'task', 't1', 'Bob’s', ['projectId', 'p1'])
      expect(await syncAll(bob)).toMatchObject({ pushed: 1 })
    }
    const answers: number[] = []
    wires[0].after = (_request, _number, { status }) => void answers.push(status)
    if (hasFeed) {
      expect(await syncAll(alice)).toMatchObject({ pushed: 0, unapplied: 1 })
      expect(answers).toContain(409)
    } else {
      await syncAlone(alice, wires[0], '/projectChanges')
      expect(answers).toContain(422)
      expect(await journal(alice.getRepository(Project)).rejected()).toMatchObject([{ id: 'p1', code: 'children-unseen' }])
    }
    expect(await bob.query('SELECT name FROM task')).toEqual([{ name: 'Bob’s' }])
    await syncAll(alice)
    expect(await unappliedOf(journal(alice.getRepository(Task)))).toMatchObject([
      { id: 't1', reason: 'parent-removed', local: null, remote: { name: 'Bob’s' } },
    ])
    await applyDecided([alice, bob], preferRemoteConflictHandler)
    await expectEqual(databases, TABLES)
    expect(await alice.query('SELECT name FROM project')).toEqual([{ name: 'p1' }])
    await expectAtRest([alice, bob], hasFeed ? 1 : 3)
  },
)

describe.each(EACH)('ON DELETE %s, in the journal', onDelete => {
  async function removedWithNewTask() {
    const opened = await world(schemas(onDelete).all)
    const { alice, bob } = opened
    await put(alice, 'project', 'p1', 'p1')
    await applyDecided([alice, bob])
    await put(bob, 'task', 't1', 'Bob’s', ['projectId', 'p1'])
    await drop(alice, 'project', 'p1')
    return opened
  }

  test.each([
    ['the task is given up for what the server has', true],
    ['the task is decided to go', false],
  ])('a task waits for a project that was removed here: %s', async (_, isTaken) => {
    const { alice, bob, all: databases } = await removedWithNewTask()
    await syncAll(bob)
    await syncAll(alice)
    const tasks = journal<Task>(alice.getRepository('Task'))
    expect(await unappliedOf(tasks)).toMatchObject([{ id: 't1', reason: 'parent-removed' }])
    if (isTaken) await tasks.discard('t1')
    else await tasks.resolve('t1', null)
    await applyDecided([alice, bob])
    await expectEqual(databases, TABLES)
    expect(await bob.query('SELECT id FROM project')).toHaveLength(isTaken ? 1 : 0)
    expect(await bob.query('SELECT id FROM task')).toHaveLength(isTaken ? 1 : 0)
    await expectAtRest([alice, bob])
  })

  test.each([
    ['the project stays', true],
    ['the project goes', false],
  ])('a removal waits for a word about the task that was added here: %s', async (_, stays) => {
    if (onDelete === 'SET NULL') return // nothing is lost, so there is no conflict
    const { alice, bob, all: databases } = await removedWithNewTask()
    await syncAll(alice)
    await syncAll(bob)
    const projects = journal<Row>(bob.getRepository('Project'))
    expect(await unappliedOf(projects)).toMatchObject([{ id: 'p1', reason: 'children-changed', local: { name: 'p1' }, remote: null }])
    if (stays) await projects.resolve('p1', { name: 'p1, still' })
    else {
      await expect(projects.discard('p1')).rejects.toMatchObject({ code: 'unpushed-children', children: [{ entity: 'Task', id: 't1' }] })
      await projects.discard('p1', { children: 'journal' })
      const [gone] = await journal<Task>(bob.getRepository('Task')).resolved()
      expect(gone).toMatchObject({ id: 't1', remote: null, decision: null })
    }
    await applyDecided([alice, bob])
    await expectEqual(databases, TABLES)
    expect(await alice.query('SELECT name FROM project')).toEqual(stays ? [{ name: 'p1, still' }] : [])
    expect(await alice.query('SELECT id FROM task')).toHaveLength(stays ? 1 : 0)
    await expectAtRest([alice, bob])
  })
})
