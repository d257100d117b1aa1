// Moves in a tree of rows that the user does not see for a while, and that others have moved meanwhile.

import { expect, test } from '@jest/globals'
import { EntitySchema } from 'typeorm'
import {
  type ConflictHandler,
  enableSync,
  hasLocalChanges,
  journal,
  preferLocalConflictHandler,
  preferRemoteConflictHandler,
  syncAll,
} from 'typeorm-sync'
import { SERVERS } from '../support/eachDatabase.js'
import { deviceOf, HandMade } from './handMade.js'

interface Folder {
  id: string
  name: string
  parentId?: string | null
}
const Folder = new EntitySchema<Folder>({
  ...{ name: 'CircleFolder', tableName: 'circle_folder' },
  columns: {
    id: { type: 'varchar', length: 64, primary: true },
    name: { type: 'varchar' },
    parentId: { type: 'varchar', length: 64, nullable: true },
  },
  foreignKeys: [{ target: 'CircleFolder', columnNames: ['parentId'], referencedColumnNames: ['id'], onDelete: 'CASCADE' }],
})
enableSync(Folder, '/folders')

/** `moved` were moved into `y` here, and left before that was pushed, together with others that are `left`. */
async function world(kind: (typeof SERVERS)[number], left: readonly string[], more: Partial<Folder> = {}, moved = ['x']) {
  const server = new HandMade()
  const phone = await deviceOf(server, [Folder], kind)
  const folders = phone.getRepository(Folder)
  const folder = (id: string, parentId: string | null = null, name = id) => server.row(id, { name, parentId })
  const read = async (rows: readonly object[], handler?: ConflictHandler) => {
    server.answers.push({ changes: { '/folders': rows as never }, scoped: ['/folders'] })
    return syncAll(phone, handler)
  }
  await read([folder('x'), folder('y'), folder('z')])
  await folders.update(moved, { parentId: 'y', ...more })
  await read(left.map(server.left))
  const tree = async () => Object.fromEntries((await folders.find({ order: { id: 'ASC' } })).map(f => [f.id, f.parentId]))
  return {
    server,
    phone,
    folders,
    folder,
    read,
    tree,
    journal: journal(folders),
    pushed: () => server.posts.map(({ changes }) => changes['/folders']),
  }
}

const each = SERVERS.map(kind => [kind] as const)

test.each(each)('a move that would close a circle when both rows are seen again is discarded, and is in the journal (%s)', async kind => {
  const { phone, folders, folder, read, tree, journal, pushed } = await world(kind, ['x', 'y'])
  expect(await tree()).toEqual({ z: null })
  expect(await read([folder('x', 'z'), folder('y', 'x')])).toMatchObject({ conflicts: 0, unapplied: 0, pushed: 0 })
  expect(await tree()).toEqual({ x: 'z', y: 'x', z: null })
  const sides = { local: { parentId: 'y' }, remote: { parentId: 'z' }, decision: { parentId: 'z' } }
  expect(await journal.resolved()).toMatchObject([{ id: 'x', ...sides }])
  expect([await hasLocalChanges(phone), pushed()]).toEqual([false, []])
  // and comes back when the other one is out of its way
  const undo = async () => journal.undo((await journal.resolved())[0]?.resolutionId ?? -1)
  await expect(undo()).rejects.toMatchObject({ name: 'ConstraintError', kind: 'cycle' })
  await folders.update('y', { parentId: null })
  await undo()
  expect(await tree()).toEqual({ x: 'y', y: null, z: null })
})

test.each(each)('so is one of a row that is contested otherwise, while the rest of it is asked about (%s)', async kind => {
  const { folders, folder, read, tree, journal, pushed } = await world(kind, ['x', 'y'], { name: 'ours' })
  expect(await read([folder('x', null, 'theirs'), folder('y', 'x')])).toMatchObject({ conflicts: 0, unapplied: 1 })
  expect(await tree()).toEqual({ x: null, y: 'x', z: null })
  expect(await journal.conflicts()).toMatchObject([{ id: 'x', properties: ['name'], local: { name: 'ours' } }])
  expect(await read([], preferLocalConflictHandler)).toMatchObject({ unapplied: 0, pushed: 1 })
  expect(await folders.findOneBy({ id: 'x' })).toEqual({ id: 'x', name: 'ours', parentId: null })
  expect(pushed()).toEqual([[{ id: 'x', _partial: true, name: 'ours' }]])
})

test.each(each)('a move that closes none is merged, and pushed (%s)', async kind => {
  const { folder, read, tree, journal, pushed } = await world(kind, ['x', 'y'])
  expect(await read([folder('x'), folder('y', 'z')])).toMatchObject({ conflicts: 0, unapplied: 0, pushed: 1 })
  expect(await tree()).toEqual({ x: 'y', y: 'z', z: null })
  expect([await journal.resolved(), pushed()]).toEqual([[], [[{ id: 'x', _partial: true, parentId: 'y' }]]])
})

test.each(each)('pages that come one after the other close none either (%s)', async kind => {
  const { folder, read, tree, journal } = await world(kind, ['x', 'y'])
  expect(await read([folder('x')])).toMatchObject({ unapplied: 1 })
  expect(await read([folder('y', 'x')])).toMatchObject({ unapplied: 0, pushed: 0 })
  expect(await tree()).toEqual({ x: null, y: 'x', z: null })
  expect(await journal.resolved()).toMatchObject([{ id: 'x', decision: { parentId: null } }])
})

test.each(each)('one row of the circle is here: the move of the server is a conflict (%s)', async kind => {
  const { folder, read, tree, journal } = await world(kind, ['x'])
  expect(await read([folder('x'), folder('y', 'x')])).toMatchObject({ conflicts: 0, unapplied: 1, pushed: 0 })
  expect(await tree()).toEqual({ x: 'y', y: null, z: null })
  expect(await journal.conflicts()).toMatchObject([{ id: 'y', reason: 'cycle', properties: ['parentId'] }])
  await read([], preferRemoteConflictHandler)
  expect(await tree()).toEqual({ x: null, y: 'x', z: null })
})

test.each(each)('where they are put back they close no other one (%s)', async kind => {
  const { folder, read, tree, journal, pushed } = await world(kind, ['x', 'y', 'z'], {}, ['x', 'z'])
  expect(await read([folder('z'), folder('x', 'z'), folder('y', 'x')])).toMatchObject({ unapplied: 0, pushed: 0 })
  expect(await tree()).toEqual({ x: 'z', y: 'x', z: null })
  expect((await journal.resolved()).map(row => [row.id, row.decision?.parentId]).sort()).toEqual([
    ['x', 'z'],
    ['z', null],
  ])
  expect(pushed()).toEqual([])
})

test.each(each)('nor does a row that was made here, under the id of one that is not seen, and left with its parent (%s)', async kind => {
  const { server, folders, folder, read, tree, journal } = await world(kind, [])
  await folders.insert({ id: 'made', name: 'made', parentId: 'z' })
  await read([server.left('z')])
  expect(await read([folder('z', 'made')])).toMatchObject({ unapplied: 0 })
  expect(await tree()).toMatchObject({ made: null, z: 'made' })
  expect(await journal.resolved()).toMatchObject([{ id: 'made', local: { parentId: 'z' }, remote: null, decision: { parentId: null } }])
})
