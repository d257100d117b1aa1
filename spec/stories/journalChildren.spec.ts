// What the journal removes may be needed by rows that were never pushed: nothing of that goes without a word.

import 'reflect-metadata'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { type DataSource, EntitySchema } from 'typeorm'
import { enableSync, hasLocalChanges, journal, preferRemoteConflictHandler, syncAll, UnpushedChildrenError } from 'typeorm-sync'
import { unappliedOf } from '../support/unapplied.js'
import { applyDecided, device, expectAtRest, expectEqual, startServer, syncAlone, Wire, withoutFeed } from './devices.js'

interface Folder {
  id: string
  name: string
}
interface Note {
  id: string
  body: string
  folder: Folder | null
}

const text = { type: 'varchar', length: 40 } as const

const KINDS = (['CASCADE', 'RESTRICT'] as const).flatMap(onDelete => [true, false].map(hasFeed => ({ onDelete, hasFeed })))

describe.each(KINDS)('notes in folders, ON DELETE $onDelete, on a server with a feed: $hasFeed', ({ onDelete, hasFeed }) => {
  /** What happens only where folders and notes are synced by themselves. */
  const testByItself = hasFeed ? () => {} : test

  const folder = new EntitySchema<Folder>({
    name: 'Folder',
    tableName: 'folder',
    columns: { id: { ...text, primary: true }, name: { ...text, unique: true } },
  })
  const note = new EntitySchema<Note>({
    name: 'Note',
    tableName: 'note',
    columns: { id: { ...text, primary: true }, body: text },
    relations: { folder: { type: 'many-to-one', target: 'Folder', nullable: true, onDelete } },
  })

  let server: Awaited<ReturnType<typeof startServer>>
  let alice: DataSource
  let bob: DataSource
  let wire: Wire
  const folders = (who = bob) => journal(who.getRepository<Folder>('Folder'))
  const notes = (who = bob) => journal(who.getRepository<Note>('Note'))

  beforeEach(async () => {
    enableSync(folder, '/folders')
    enableSync(note, '/notes')
    server = await startServer([folder, note], { before: hasFeed ? [] : [withoutFeed] })
    wire = new Wire()
    alice = await device([folder, note], server.url)
    bob = await device([folder, note], server.url, { fetch: wire.fetch })
    await alice.getRepository('Folder').save({ id: 'shared', name: 'Shared' })
    await applyDecided([alice, bob])
  })
  afterEach(() => Promise.all([alice.destroy(), bob.destroy(), server.stop()]))

  /** Alice has made a folder of that name; Bob's, which the server rejects, has three hours of work in it. */
  async function reject(): Promise<void> {
    await alice.getRepository('Folder').save({ id: 'a', name: 'Inbox' })
    await syncAll(alice)
    await bob.getRepository('Folder').save({ id: 'b', name: 'Inbox' })
    await bob.getRepository('Note').save({ id: 'n', body: 'three hours of work', folder: { id: 'b' } })
    await syncAll(bob)
    expect(await folders().rejected()).toMatchObject([{ id: 'b', code: 'not-unique' }])
  }

  test('a rejected folder is not discarded while a note in it was never pushed', async () => {
    await reject()
    const error = await folders()
      .discard('b')
      .catch(e => e)
    expect(error).toBeInstanceOf(UnpushedChildrenError)
    expect(error).toMatchObject({ entity: 'Folder', children: [{ entity: 'Note', id: 'n' }] })
    expect(error.message).toContain('1 row needs it')
    expect(await bob.query('SELECT id FROM note')).toEqual([{ id: 'n' }])
    expect(await folders().rejected()).toMatchObject([{ id: 'b' }])
    await bob.query(`UPDATE note SET "folderId" = 'shared'`)
    await folders().discard('b')
    await applyDecided([bob, alice])
    await expectEqual([server.dataSource, alice, bob], ['folder', 'note'])
    expect(await alice.query('SELECT id FROM note')).toEqual([{ id: 'n' }])
    await expectAtRest([alice, bob], hasFeed ? 1 : 2)
  })

  test('or the note goes to the journal, which brings it back', async () => {
    await reject()
    await folders().discard('b', { children: 'journal' })
    expect(await bob.query('SELECT id FROM note')).toEqual([])
    const [gone] = await notes().resolved()
    expect(gone).toMatchObject({ id: 'n', local: { body: 'three hours of work' }, remote: null, decision: null })
    await applyDecided([bob, alice])
    await expectEqual([server.dataSource, alice, bob], ['folder', 'note'])
    // its folder is not there any more: it comes back once another one has its id, or that decision was undone
    await expect(notes().undo(Number(gone?.resolutionId))).rejects.toMatchObject({ code: 'constraint', kind: 'foreign-key' })
    await alice.getRepository('Folder').delete('a')
    await applyDecided([bob, alice])
    const [folderGone] = await folders().resolved()
    await folders().undo(Number(folderGone?.resolutionId), 'local')
    await notes().undo(Number(gone?.resolutionId))
    await applyDecided([bob, alice])
    await expectEqual([server.dataSource, alice, bob], ['folder', 'note'])
    expect(await alice.query('SELECT id FROM note')).toEqual([{ id: 'n' }])
  })

  testByItself('a new folder, of which a push got no answer, is not given up while somebody else’s notes are in it', async () => {
    const wire = new Wire()
    const carol = await device([folder, note], server.url, { fetch: wire.fetch })
    await applyDecided([carol])
    await carol.getRepository('Folder').save({ id: 'c', name: 'Carol’s' })
    wire.after = request => {
      if (request.method === 'POST') throw new TypeError('fetch failed')
    }
    await syncAll(carol.getRepository('Folder')).catch(() => {})
    wire.mend()
    await applyDecided([alice])
    await alice.getRepository('Note').save({ id: 'n', body: 'three hours of work', folder: { id: 'c' } })
    await applyDecided([alice])
    await syncAlone(carol, wire, '/notes')
    expect(await carol.query('SELECT id FROM note')).toEqual([{ id: 'n' }])
    const error = await folders(carol)
      .discard('c')
      .catch(e => e)
    expect(error).toBeInstanceOf(UnpushedChildrenError)
    expect(error).toMatchObject({ entity: 'Folder', children: [{ entity: 'Note', id: 'n' }] })
    expect(await carol.query('SELECT id FROM note')).toEqual([{ id: 'n' }])
    await folders(carol).discard('c', { children: 'journal' })
    expect(await notes(carol).resolved()).toMatchObject([{ id: 'n', local: { body: 'three hours of work' }, decision: null }])
    await applyDecided([carol, alice])
    await expectEqual([server.dataSource, alice, carol], ['folder', 'note'])
    expect(await alice.query('SELECT id FROM note')).toEqual([])
    await carol.destroy()
  })

  test('a conflict is not decided to be a removal while a note in the folder was never pushed', async () => {
    await alice.getRepository('Folder').update('shared', { name: 'Alice’s' })
    await bob.getRepository('Folder').update('shared', { name: 'Bob’s' })
    await syncAll(alice)
    // a feed would have pushed the notes
    if (hasFeed) await syncAll(bob)
    await bob.getRepository('Note').save({ id: 'n', body: 'three hours of work', folder: { id: 'shared' } })
    await bob.getRepository('Note').save({ id: 'other', body: 'in no folder', folder: null })
    if (!hasFeed) await syncAlone(bob, wire, '/folders')
    await expect(folders().resolve('shared', null)).rejects.toThrow(UnpushedChildrenError)
    expect(await unappliedOf(folders())).toMatchObject([{ id: 'shared', reason: 'contested' }])
    await folders().resolve('shared', null, { children: 'journal' })
    expect(await notes().resolved()).toMatchObject([{ id: 'n', decision: null }])
    await applyDecided([bob, alice])
    await expectEqual([server.dataSource, alice, bob], ['folder', 'note'])
    expect(await alice.query('SELECT id FROM note')).toEqual([{ id: 'other' }])
  })

  test('nor is a decision undone that brought the folder back', async () => {
    await alice.getRepository('Folder').update('shared', { name: 'Alice’s' })
    await bob.getRepository('Folder').delete('shared')
    await syncAll(alice)
    await syncAll(bob, conflicts => {
      for (const conflict of conflicts) conflict.takeRemote()
    })
    await bob.getRepository('Note').save({ id: 'n', body: 'three hours of work', folder: { id: 'shared' } })
    const [decision] = await folders().resolved()
    await expect(folders().undo(Number(decision?.resolutionId))).rejects.toThrow(UnpushedChildrenError)
    await folders().undo(Number(decision?.resolutionId), undefined, { children: 'journal' })
    expect(await notes().resolved()).toMatchObject([{ id: 'n', decision: null }])
    await applyDecided([bob, alice])
    await expectEqual([server.dataSource, alice, bob], ['folder', 'note'])
  })

  test('a removal as resolution that the server rejects loses no row', async () => {
    await bob.getRepository('Note').save({ id: 'n', body: 'pushed', folder: { id: 'shared' } })
    await applyDecided([bob, alice])
    await alice.getRepository('Folder').update('shared', { name: 'Alice’s' })
    await bob.getRepository('Folder').update('shared', { name: 'Bob’s' })
    await syncAll(alice)
    await syncAll(bob)
    await folders().resolve('shared', null)
    // what it cascaded to is pushed as well, or was discarded with it
    expect(await notes().pending()).toMatchObject([{ id: 'n', local: null }])
    await folders().discard('shared')
    await applyDecided([bob, alice])
    await notes()
      .discard('n')
      .catch(() => {})
    await applyDecided([bob, alice])
    await expectEqual([server.dataSource, alice, bob], ['folder', 'note'])
  })

  test('a note that is synced with another server, and never was pushed there, does not go with its folder unseen', async () => {
    enableSync(note, `${server.url.replace('127.0.0.1', 'localhost')}/notes`) // another server, as far as the device knows
    const carol = await device([folder, note], server.url)
    await applyDecided([carol, alice])
    await carol.getRepository('Note').save({ id: 'n', body: 'three hours of work', folder: { id: 'shared' } })
    await alice.getRepository('Folder').delete('shared')
    await syncAll(alice)
    await syncAll(carol.getRepository('Folder'))
    expect(await carol.query('SELECT id FROM note')).toEqual([{ id: 'n' }])
    expect(await unappliedOf(folders(carol))).toMatchObject([
      { id: 'shared', reason: 'children-changed', children: [{ entity: 'Note', id: 'n' }] },
    ])
    await syncAll(carol.getRepository('Folder'), conflicts => {
      for (const conflict of conflicts) conflict.takeRemote()
    })
    expect(await carol.query('SELECT id FROM note')).toEqual([])
    expect(await notes(carol).resolved()).toMatchObject([{ id: 'n', local: { body: 'three hours of work' }, decision: null }])
    await carol.destroy()
  })

  test('a removal as resolution for one server does not cascade to a note that was never pushed to another', async () => {
    const other = await startServer([folder, note])
    const both = (path: string) => [`${server.url}${path}`, `${other.url}${path}`]
    enableSync(folder, both('/folders'))
    enableSync(note, both('/notes'))
    const carol = await device([folder, note], server.url)
    await applyDecided([carol])
    await carol.getRepository('Note').save({ id: 'n', body: 'three hours of work', folder: { id: 'shared' } })
    await alice.getRepository('Folder').update('shared', { name: 'Alice’s' })
    await carol.getRepository('Folder').update('shared', { name: 'Carol’s' })
    await syncAll(alice)
    await other.stop()
    // the one server has the note, the other is away
    for (const entity of ['Folder', 'Note']) await syncAll(carol.getRepository(entity)).catch(() => {})
    expect(await unappliedOf(folders(carol))).toMatchObject([{ id: 'shared', reason: 'contested' }])
    expect(await notes(carol).pending({ url: both('/notes')[0]! })).toEqual([])
    await expect(folders(carol).resolve('shared', null)).rejects.toMatchObject({
      name: 'UnpushedChildrenError',
      children: [{ entity: 'Note', id: 'n' }],
    })
    expect(await carol.query('SELECT id FROM note')).toEqual([{ id: 'n' }])
    await folders(carol).resolve('shared', null, { children: 'journal' })
    expect(await carol.query('SELECT id FROM note')).toEqual([])
    expect(await notes(carol).resolved()).toMatchObject([{ id: 'n', local: { body: 'three hours of work' }, decision: null }])
    await carol.destroy()
  })

  testByItself(
    'a new folder is not given up while the server has a note in it: it has that folder too, and nobody has read it yet',
    async () => {
      await bob.getRepository('Folder').save({ id: 'f', name: 'Bob' })
      await alice.getRepository('Folder').save({ id: 'f', name: 'Alice' })
      await alice.getRepository('Note').save({ id: 'n', body: 'of Alice’s', folder: { id: 'f' } })
      await syncAll(alice)
      await syncAlone(bob, wire, '/notes')
      expect(await bob.query('SELECT id FROM note')).toEqual([{ id: 'n' }])
      await expect(folders().discard('f')).rejects.toMatchObject({
        name: 'UnpushedChildrenError',
        children: [{ entity: 'Note', id: 'n' }],
      })
      await applyDecided([bob, alice], preferRemoteConflictHandler)
      await expectEqual([server.dataSource, alice, bob], ['folder', 'note'])
      expect(await bob.query('SELECT id FROM note')).toEqual([{ id: 'n' }])
    },
  )

  test('an edit of a folder whose removal waits is a local change', async () => {
    await bob.getRepository('Note').save({ id: 'n', body: 'three hours of work', folder: { id: 'shared' } })
    await alice.getRepository('Folder').delete('shared')
    await syncAll(alice)
    await syncAll(bob.getRepository('Folder'))
    expect(await unappliedOf(folders())).toMatchObject([{ id: 'shared', reason: 'children-changed' }])
    expect(await hasLocalChanges(bob.getRepository('Folder'))).toBe(false)
    await bob.getRepository('Folder').update('shared', { name: 'Edited' })
    expect(await hasLocalChanges(bob.getRepository('Folder'))).toBe(true)
  })
})
