// What a report says has changed here.

import { afterEach, expect, test } from '@jest/globals'
import { EntitySchema } from 'typeorm'
import { enableSync, preferLocalConflictHandler, syncAll } from 'typeorm-sync'
import { device, startServer } from '../stories/devices.js'

const id = { type: 'varchar', length: 64, primary: true } as const
const name = { type: 'varchar', length: 64, nullable: true } as const

const Folder = new EntitySchema<any>({ name: 'ReportedFolder', tableName: 'reported_folder', columns: { id, name } })
const File = new EntitySchema<any>({
  ...{ name: 'ReportedFile', tableName: 'reported_file', columns: { id, name } },
  relations: { folder: { type: 'many-to-one', target: 'ReportedFolder', nullable: true, onDelete: 'SET NULL' } },
})
enableSync(Folder, '/reportedFolders')
enableSync(File, '/reportedFiles')

const open: (() => unknown)[] = []
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})

test('a report names the entities of which rows changed here, also what others took along', async () => {
  const server = await startServer([Folder, File])
  open.push(() => server.stop())
  const there = server.dataSource
  const here = await device([Folder, File], server.url)
  open.push(() => here.destroy())
  const changedBy = async () => (await syncAll(here, preferLocalConflictHandler)).changed
  expect(await changedBy()).toEqual([])
  await there.getRepository(Folder).insert({ id: 'f', name: 'there' })
  expect(await changedBy()).toEqual(['ReportedFolder'])
  // what is pushed changes nothing here
  await here.getRepository(File).insert({ id: 'a', name: 'here', folder: { id: 'f' } })
  expect(await changedBy()).toEqual([])
  // a merge
  await there.getRepository(File).update('a', { name: 'there' })
  await here.getRepository(File).update('a', { name: 'here again' })
  expect(await changedBy()).toEqual(['ReportedFile'])
  // a file that the folder's removal changes here alone: no server speaks of it
  await here.getRepository(File).insert({ id: 'b', name: 'new', folder: { id: 'f' } })
  await there.getRepository(Folder).delete('f')
  expect(await changedBy()).toContain('ReportedFile')
  expect(await changedBy()).toEqual([])
})
