// Triggers of the application's: what is acknowledged is what is stored.

import { describe, expect, test } from '@jest/globals'
import { type DataSource, EntitySchema } from 'typeorm'
import { enableSync, journal, syncAll } from 'typeorm-sync'
import { type Kind, openOn, SERVERS, serve, sql } from '../support/eachDatabase.js'
import { unappliedOf } from '../support/unapplied.js'

const text = { type: 'varchar' } as const
const Album = new EntitySchema<{ id: string; name: string; touched: string | null; kind: string }>({
  ...{ name: 'Album', tableName: 'album' },
  columns: { id: { ...text, primary: true }, name: text, touched: { ...text, nullable: true }, kind: { ...text, default: 'plain' } },
})
const Photo = new EntitySchema<{ id: string; album: { id: string } | null }>({
  ...{ name: 'Photo', tableName: 'photo' },
  columns: { id: { ...text, primary: true } },
  relations: { album: { type: 'many-to-one', target: 'Album', nullable: true, onDelete: 'CASCADE' } },
})
enableSync(Album, '/albums')
enableSync(Photo, '/photos')
const entities = [Album, Photo]

/** A trigger on the albums, in the words of each database. */
async function trigger(dataSource: DataSource, event: string, when: string, body: string, pg: string, my?: string): Promise<void> {
  const { type } = dataSource.options
  if (type === 'postgres') {
    await dataSource.query(
      `CREATE FUNCTION app() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF ${when} THEN ${pg} END IF; RETURN coalesce(NEW, OLD); END $$`,
    )
    await dataSource.query(`CREATE TRIGGER app ${event} ON album FOR EACH ROW EXECUTE FUNCTION app()`)
  } else if (type === 'mariadb') {
    await dataSource.query(`CREATE TRIGGER app ${event} ON album FOR EACH ROW BEGIN IF ${when} THEN ${my} END IF; END`)
  } else await dataSource.query(`CREATE TRIGGER app ${event} ON album WHEN ${when} BEGIN ${body} END`)
}

const albums = async (dataSource: DataSource) =>
  (await sql(dataSource, 'SELECT id, name, touched FROM album ORDER BY id')).map(
    (a: { id: string; name: string; touched: string | null }) => [a.id, a.name, a.touched],
  )
const skips = (kind: Kind) => kind !== 'mysql'

describe.each([...SERVERS, 'sqljs'] as Kind[])('a server on %s', kind => {
  async function start() {
    const there = await openOn(kind, entities)
    const { url, post } = await serve(there)
    const alice = await openOn('sqljs', entities, { server: url })
    const bob = await openOn('sqljs', entities, { server: url })
    return { there, alice, bob, post, url }
  }

  test.each(['INSERT', 'UPDATE'])('gives back what its trigger writes beside the %s that was pushed', async event => {
    const { there, alice, bob } = await start()
    const when = `NEW.name = 'touch'`
    await trigger(
      there,
      kind === 'libsql' || kind === 'sqljs' ? `AFTER ${event}` : `BEFORE ${event}`,
      when,
      `UPDATE album SET touched = 'yes' WHERE id = NEW.id;`,
      `NEW.touched := 'yes';`,
      `SET NEW.touched = 'yes';`,
    )
    await alice.getRepository(Album).insert({ id: 'a', name: event === 'INSERT' ? 'touch' : 'new' })
    await syncAll(alice)
    if (event === 'UPDATE') await alice.getRepository(Album).update('a', { name: 'touch' })
    for (const device of [alice, bob, alice]) await syncAll(device)
    for (const each of [there, alice, bob]) expect(await albums(each)).toEqual([['a', 'touch', 'yes']])
  })

  test('leaves `since` out only where the row is another one than was posted', async () => {
    const { post } = await start()
    expect((await post('/albums', [{ id: 'a', name: 'x', touched: null, kind: 'plain' }])).json.since).toBeDefined()
    expect((await post('/albums', [{ id: 'a', _partial: true, name: 'y' }])).json.since).toBeDefined()
    // the default of a column that was not posted
    expect((await post('/albums', [{ id: 'b', name: 'x' }])).json.since).toBeUndefined()
    expect(
      (
        await post('/albums', [
          { id: 'c', name: 'x', touched: null, kind: 'plain' },
          { id: 'd', name: 'x' },
        ])
      ).json.since,
    ).toBeUndefined()
  })

  if (!skips(kind)) return

  test('that marks rows as deleted keeps them, and every client gets that', async () => {
    const { there, alice, bob } = await start()
    await trigger(
      there,
      'BEFORE DELETE',
      'true',
      `UPDATE album SET touched = 'deleted' WHERE id = OLD.id; SELECT RAISE(IGNORE);`,
      `UPDATE album SET touched = 'deleted' WHERE id = OLD.id; RETURN NULL;`,
    )
    await alice.getRepository(Album).save([
      { id: 'a', name: 'a' },
      { id: 'b', name: 'b' },
    ])
    await syncAll(alice)
    await syncAll(bob)
    await alice.getRepository(Album).delete('a')
    for (const device of [alice, bob, alice]) await syncAll(device)
    for (const each of [there, alice, bob])
      expect(await albums(each)).toEqual([
        ['a', 'a', 'deleted'],
        ['b', 'b', null],
      ])
    expect(await sql(there, 'SELECT * FROM sync_tombstone')).toEqual([])
    expect(await syncAll(alice)).toMatchObject({ pulled: 0, pushed: 0 })
  })

  test('keeps the children of a row that its trigger keeps', async () => {
    const { there, post } = await start()
    await trigger(there, 'BEFORE DELETE', `OLD.id = 'a'`, 'SELECT RAISE(IGNORE);', 'RETURN NULL;')
    for (const id of ['a', 'b']) await sql(there, 'INSERT INTO album (id, name) VALUES (?, ?)', [id, id])
    for (const id of ['a', 'b']) await sql(there, 'INSERT INTO photo (id, "albumId") VALUES (?, ?)', [id, id])
    const removals = ['a', 'b'].map(id => ({ id, _removed: true }))
    const answer = await post('/albums', removals)
    expect([answer.status, answer.json.since]).toEqual([200, undefined])
    expect(await sql(there, 'SELECT id FROM album')).toEqual([{ id: 'a' }])
    expect(await sql(there, 'SELECT id FROM photo')).toEqual([{ id: 'a' }])
    const [{ stamp }] = await sql(there, 'SELECT "_lastChange" AS stamp FROM album')
    expect(Number(stamp)).toBe(answer.json.now)
  })

  test.each(['INSERT', 'UPDATE'])('rejects a row whose %s its trigger skips, and stores the others', async event => {
    const { there, alice } = await start()
    const notes = alice.getRepository(Album)
    await trigger(there, `BEFORE ${event}`, `NEW.name = 'skip'`, 'SELECT RAISE(IGNORE);', 'RETURN NULL;')
    if (event === 'UPDATE') {
      await notes.save([
        { id: 'a', name: 'a' },
        { id: 'b', name: 'b' },
      ])
      await syncAll(alice)
    }
    await notes.save([
      { id: 'a', name: 'skip' },
      { id: 'b', name: 'fine' },
    ])
    await syncAll(alice)
    expect((await journal(notes).rejected()).map(r => [r.id, r.code])).toEqual([['a', 'skipped']])
    expect(await albums(there)).toEqual(
      event === 'UPDATE'
        ? [
            ['a', 'a', null],
            ['b', 'fine', null],
          ]
        : [['b', 'fine', null]],
    )
    expect((await notes.findOneBy({ id: 'a' }))?.name).toBe('skip')
  })
})

describe.each(['sqljs', 'libsql', ...SERVERS.filter(s => s === 'postgres')] as Kind[])('a device on %s', kind => {
  test('does not count as stored what its own trigger skips', async () => {
    const there = await openOn('libsql', entities)
    const { url } = await serve(there)
    const bob = await openOn(kind, entities, { server: url })
    await trigger(
      bob,
      'BEFORE INSERT OR UPDATE OR DELETE'.replace(kind === 'postgres' ? '' : / OR.*/, ''),
      kind === 'postgres'
        ? `coalesce(NEW.name, OLD.name) = 'skip' OR coalesce(NEW.id, OLD.id) = 'kept' AND (NEW.id IS NULL OR NEW.name = 'later')`
        : `NEW.name = 'skip'`,
      'SELECT RAISE(IGNORE);',
      'RETURN NULL;',
    )
    if (kind !== 'postgres') {
      await bob.query(`CREATE TRIGGER app2 BEFORE UPDATE ON album WHEN NEW.name = 'later' BEGIN SELECT RAISE(IGNORE); END`)
      await bob.query(`CREATE TRIGGER app3 BEFORE DELETE ON album WHEN OLD.id = 'kept' BEGIN SELECT RAISE(IGNORE); END`)
    }
    for (const [id, name] of [
      ['a', 'skip'],
      ['b', 'fine'],
      ['kept', 'fine'],
    ])
      await sql(there, 'INSERT INTO album (id, name) VALUES (?, ?)', [id, name])
    await syncAll(bob)
    const unapplied = async () => (await unappliedOf(journal(bob.getRepository(Album)))).map(w => [w.id, w.reason])
    expect(await unapplied()).toEqual([['a', 'not-valid']])
    expect((await albums(bob)).map(([id]: [string]) => id)).toEqual(['b', 'kept'])
    await sql(there, `UPDATE album SET name = 'later' WHERE id = 'kept'`)
    await sql(there, `UPDATE album SET name = 'fine too' WHERE id = 'b'`)
    await syncAll(bob)
    expect(await unapplied()).toEqual([
      ['a', 'not-valid'],
      ['kept', 'not-valid'],
    ])
    expect((await albums(bob)).map(([, name]: [string, string]) => name)).toEqual(['fine too', 'fine'])
    await sql(there, `DELETE FROM album WHERE id = 'kept'`)
    await syncAll(bob)
    expect((await unapplied()).map(([id]) => id)).toEqual(['a', 'kept'])
    expect(await sql(bob, 'SELECT id FROM sync_tombstone')).toEqual([])
    expect((await albums(bob)).map(([id]: [string]) => id)).toEqual(['b', 'kept'])
  })
})
