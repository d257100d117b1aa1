// Two devices make "the same" row: a unique value that the other has. Both can be kept under other values, or made one.

import 'reflect-metadata'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { type DataSource, EntitySchema } from 'typeorm'
import { enableSync, hasLocalChanges, journal, NotInJournalError, preferLocalConflictHandler, syncAll } from 'typeorm-sync'
import { unappliedOf } from '../support/unapplied.js'
import { applyDecided, device, expectAtRest, expectEqual, startServer } from './devices.js'

interface Folder {
  id: string
  name: string
  place: number | null
}
interface Note {
  id: string
  body: string
  folder: Folder
}

const text = { type: 'varchar', length: 40 } as const
const folder = new EntitySchema<Folder>({
  name: 'Folder',
  tableName: 'folder',
  columns: { id: { ...text, primary: true }, name: { ...text, unique: true }, place: { type: 'integer', unique: true, nullable: true } },
})

describe.each(['CASCADE', 'RESTRICT'] as const)('two Inboxes, ON DELETE %s', onDelete => {
  const note = new EntitySchema<Note>({
    name: 'Note',
    tableName: 'note',
    columns: { id: { ...text, primary: true }, body: text },
    relations: { folder: { type: 'many-to-one', target: 'Folder', nullable: false, onDelete } },
  })

  let server: Awaited<ReturnType<typeof startServer>>
  let alice: DataSource
  let bob: DataSource
  const folders = (who = bob) => journal(who.getRepository<Folder>('Folder'))
  const put = async (who: DataSource, id: string, more: Partial<Folder> = {}) => {
    await who.getRepository('Folder').save({ id, name: 'Inbox', place: null, ...more })
    await who.getRepository('Note').save({ id: `note of ${id}`, body: 'work', folder: { id } })
  }

  beforeEach(async () => {
    enableSync(folder, '/folders')
    enableSync(note, '/notes')
    server = await startServer([folder, note])
    alice = await device([folder, note], server.url)
    bob = await device([folder, note], server.url)
    await put(alice, 'a', { place: 1 })
    await put(bob, 'b')
    await syncAll(alice)
    await syncAll(bob, preferLocalConflictHandler)
  })
  afterEach(() => Promise.all([alice.destroy(), bob.destroy(), server.stop()]))

  async function expectDone(names: string[], notes: Record<string, string>): Promise<void> {
    await applyDecided([bob, alice])
    await expectEqual([server.dataSource, alice, bob], ['folder', 'note'])
    expect((await alice.query('SELECT name FROM folder ORDER BY name')).map((r: Folder) => r.name)).toEqual(names)
    const rows: { id: string; folder: string }[] = await alice.query('SELECT id, "folderId" AS folder FROM note ORDER BY id')
    expect(Object.fromEntries(rows.map(r => [r.id, r.folder]))).toEqual(notes)
    await expectAtRest([alice, bob])
  }

  test('the journal names the property, and who has its value', async () => {
    expect(await unappliedOf(folders())).toMatchObject([
      { entity: 'Folder', id: 'a', reason: 'not-unique', properties: ['name'], holder: 'b', local: null, remote: { name: 'Inbox' } },
    ])
    expect(await folders().rejected()).toMatchObject([
      { entity: 'Folder', id: 'b', code: 'not-unique', property: 'name', holder: 'a', local: { name: 'Inbox' }, base: null },
    ])
    // the place is a second unique value: who has it is named once the first is free
    await put(bob, 'c', { name: 'Other', place: 1 })
    await bob.getRepository('Folder').update('b', { name: 'Inbox 2' })
    await syncAll(bob)
    expect(await unappliedOf(folders())).toMatchObject([{ id: 'a', reason: 'not-unique', properties: ['place'], holder: 'c' }])
  })

  test('both are kept when ours is given another name', async () => {
    await bob.getRepository('Folder').update('b', { name: 'Inbox 2' })
    await expectDone(['Inbox', 'Inbox 2'], { 'note of a': 'a', 'note of b': 'b' })
  })

  test('both are kept when remote is given another name', async () => {
    await folders().resolve('a', { name: 'Alice’s inbox' })
    await syncAll(bob)
    for (const { id } of await folders().rejected()) await folders().retry(id)
    await expectDone(['Alice’s inbox', 'Inbox'], { 'note of a': 'a', 'note of b': 'b' })
  })

  test('of two that mean the same one is made, with the notes of both', async () => {
    const [row] = await unappliedOf(folders())
    await folders().resolve('a', {}, { replaces: row?.holder as string })
    expect(await unappliedOf(folders())).toEqual([])
    expect(await folders().rejected()).toEqual([])
    expect(await folders().resolved()).toMatchObject([
      { id: 'a', decision: { name: 'Inbox' } },
      { id: 'b', local: { name: 'Inbox' }, decision: null },
    ])
    await expectDone(['Inbox'], { 'note of a': 'a', 'note of b': 'a' })
    expect(await hasLocalChanges(bob)).toBe(false)
  })

  test('one is made as well where the row that goes was pushed before', async () => {
    await bob.getRepository('Folder').update('b', { name: 'Mine' })
    await applyDecided([bob, alice])
    await alice.getRepository('Folder').update('a', { name: 'Shared' })
    await bob.getRepository('Folder').update('b', { name: 'Shared' })
    await syncAll(alice)
    await syncAll(bob)
    expect(await unappliedOf(folders())).toMatchObject([{ id: 'a', reason: 'not-unique', holder: 'b' }])
    await folders().resolve('a', { name: 'Shared' }, { replaces: 'b' })
    await expectDone(['Shared'], { 'note of a': 'a', 'note of b': 'a' })
  })

  test('what is not there is not replaced, and nothing is stored', async () => {
    await expect(folders().resolve('a', {}, { replaces: 'nobody' })).rejects.toThrow(NotInJournalError)
    expect(await unappliedOf(folders())).toMatchObject([{ id: 'a' }])
    expect(await bob.query('SELECT id FROM folder')).toEqual([{ id: 'b' }])
  })
})
