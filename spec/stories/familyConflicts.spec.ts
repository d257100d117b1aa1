// A removed parent, and a child that was edited meanwhile: one sync ends it, whichever side a handler prefers.

import { expect, test } from '@jest/globals'
import { type DataSource, EntitySchema } from 'typeorm'
import { type ConflictHandler, enableSync, preferLocalConflictHandler, preferRemoteConflictHandler, syncAll } from 'typeorm-sync'
import { openOn, SERVERS, serve } from '../support/eachDatabase.js'

const DELETES = ['CASCADE', 'SET NULL', 'RESTRICT'] as const
const worlds = new Map(
  DELETES.map(onDelete => {
    const project = new EntitySchema({
      ...{ name: 'Project', tableName: 'project' },
      columns: { id: { type: 'varchar', primary: true }, name: { type: 'varchar' } },
    })
    const task = new EntitySchema({
      ...{ name: 'Task', tableName: 'task' },
      columns: { id: { type: 'varchar', primary: true }, title: { type: 'varchar' }, project: { type: 'varchar', nullable: true } },
      foreignKeys: [{ target: 'Project', columnNames: ['project'], referencedColumnNames: ['id'], onDelete }],
    })
    enableSync(project, '/projects')
    enableSync(task, '/tasks')
    return [onDelete, [project, task]]
  }),
)

const rowsOf = async (dataSource: DataSource) => ({
  projects: await dataSource.getRepository('Project').count(),
  tasks: (await dataSource.getRepository('Task').find()).map(t => [t.title, t.project]),
})

const kept = { projects: 1, tasks: [['edited', 'p']] }
const removed = { projects: 0, tasks: [] as unknown[] }
const alone = { projects: 0, tasks: [['edited', null]] }
const cases = SERVERS.flatMap(device =>
  DELETES.flatMap(onDelete => {
    const [ours, theirs] = onDelete === 'SET NULL' ? [alone, alone] : [removed, kept]
    return [
      [device, onDelete, 'here', 'local', ours] as const,
      [device, onDelete, 'here', 'remote', theirs] as const,
      [device, onDelete, 'there', 'local', theirs] as const,
      [device, onDelete, 'there', 'remote', ours] as const,
    ]
  }),
)

test.each(cases)(
  'on %s, ON DELETE %s: a project that was removed %s, the %s side preferred',
  async (device, onDelete, where, side, end) => {
    const entities = worlds.get(onDelete)
    const there = await openOn('libsql', entities)
    const { url } = await serve(there)
    const alice = await openOn(device, entities, { server: url })
    await there.getRepository('Project').save({ id: 'p', name: 'Garden' })
    await there.getRepository('Task').save({ id: 't', title: 'Dig', project: 'p' })
    await syncAll(alice)
    const [removing, editing] = where === 'here' ? [alice, there] : [there, alice]
    await editing.getRepository('Task').update('t', { title: 'edited' })
    if (onDelete === 'RESTRICT') await removing.getRepository('Task').delete('t')
    await removing.getRepository('Project').delete('p')

    const handler: ConflictHandler = side === 'local' ? preferLocalConflictHandler : preferRemoteConflictHandler
    const report = await syncAll(alice, handler)
    expect(report).toMatchObject({ unapplied: 0, rejected: 0 })
    // what was decided of the project decides the task, but where the project is brought back
    expect(report.conflicts).toBe(onDelete === 'SET NULL' ? 0 : where === 'there' && side === 'local' ? 2 : 1)
    expect([await rowsOf(alice), await rowsOf(there)]).toEqual([end, end])
    expect(await syncAll(alice, handler)).toMatchObject({ pulled: 0, pushed: 0, conflicts: 0, unapplied: 0, rejected: 0 })
  },
)
