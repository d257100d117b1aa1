// A POST to the feed on each database: rows in circles, triggers of the application's, and unforeseen errors.

import { describe, expect, test } from '@jest/globals'
import { type DataSource, EntitySchema } from 'typeorm'
import { enableSync, journal, preferRemoteConflictHandler, syncAll } from 'typeorm-sync'
import { type Kind, openOn, SERVERS, serve, sql } from '../support/eachDatabase.js'
import { unappliedOf } from '../support/unapplied.js'

// A club names a pass as its chair’s, a pass belongs to a seat, and a seat to its club: a circle over three collections.
const text = { type: 'varchar', length: 100 } as const
const schema = (name: string, parent: string, relation: object) => {
  const entity = new EntitySchema<any>({
    ...{ name, tableName: name },
    columns: { id: { ...text, primary: true }, name: text, note: { ...text, nullable: true } },
    relations: { [parent]: { type: 'many-to-one', target: parent, ...relation } } as any,
  })
  enableSync(entity, `/${name}s`)
  return entity
}
// MariaDB rejects a circle of CASCADE and SET NULL
const Club = schema('club', 'pass', { nullable: true, onDelete: 'RESTRICT' })
const Seat = schema('seat', 'club', { nullable: false, onDelete: 'CASCADE' })
const Pass = schema('pass', 'seat', { nullable: false, onDelete: 'CASCADE' })
const ALL = [Club, Seat, Pass]
const TABLES = ['club', 'seat', 'pass'] as const
type Table = (typeof TABLES)[number]
const PARENT = { club: 'pass', seat: 'club', pass: 'seat' } as const

const deviceOn = (kind: Kind) => (kind === 'libsql' ? 'sqljs' : kind)

/** Rows as the feed has them: those of one circle, by their collections' paths. */
const circle = (n: number | string, chair: number | string | null = n, more: object = {}) => ({
  '/clubs': [{ id: `c${n}`, name: 'club', note: null, pass: chair === null ? null : `p${chair}`, ...more }],
  '/seats': [{ id: `s${n}`, name: 'seat', note: null, club: `c${n}`, ...more }],
  '/passs': [{ id: `p${n}`, name: 'pass', note: null, seat: `s${n}`, ...more }],
})
type Groups = Record<string, Record<string, unknown>[]>
function together(...all: Groups[]): Groups {
  const groups: Groups = {}
  for (const each of all) for (const [path, rows] of Object.entries(each)) groups[path] = [...(groups[path] ?? []), ...rows]
  return groups
}

/** A server with the feed, spoken to as it is. */
async function start(kind: Kind) {
  const there = await openOn(kind, ALL)
  const { url, errors } = await serve(there)
  const post = async (changes: Groups, query = '') => {
    const response = await fetch(`${url}/sync${query}`, {
      ...{ method: 'POST', headers: { 'Content-Type': 'application/json' } },
      body: JSON.stringify({ changes }),
    })
    return { status: response.status, json: (await response.json()) as any }
  }
  const get = async (since = 0) => (await (await fetch(`${url}/sync?since=${since}`)).json()) as any
  return { there, url, errors, post, get }
}

/** Everything that stands in the tables. */
async function rowsIn(of: DataSource): Promise<Record<Table, string[]>> {
  const all = {} as Record<Table, string[]>
  for (const table of TABLES) {
    const rows = await sql(of, `SELECT "id", "name", "note", "${PARENT[table]}Id" AS "parent" FROM "${table}" ORDER BY "id"`)
    all[table] = rows.map((r: any) => [r.id, r.name, r.note, r.parent].join(' '))
  }
  return all
}
const NOTHING = { club: [], seat: [], pass: [] }

/** Makes a circle on a device; `name` is that of all its rows. */
async function makeCircle(of: DataSource, n: number | string, names: Partial<Record<Table, string>> = {}) {
  const put = (table: Table, row: object) => of.getRepository(table).insert({ name: names[table] ?? table, note: null, ...row })
  await put('club', { id: `c${n}` })
  await put('seat', { id: `s${n}`, club: { id: `c${n}` } })
  await put('pass', { id: `p${n}`, seat: { id: `s${n}` } })
  await of.getRepository('club').update(`c${n}`, { pass: { id: `p${n}` } })
}

/** What a trigger does, in the words of each kind of database. */
interface Words {
  readonly sqlite: string
  readonly postgres: string
  readonly mysql?: string
}

async function trigger(of: DataSource, table: Table, event: string, when: string, { sqlite, postgres, mysql }: Words): Promise<void> {
  const name = `app_${table}_${event.replace(/ /g, '_').toLowerCase()}`
  if (of.options.type === 'postgres') {
    await of.query(
      `CREATE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF ${when} THEN ${postgres} END IF; RETURN coalesce(NEW, OLD); END $$`,
    )
    await of.query(`CREATE TRIGGER ${name} ${event} ON ${table} FOR EACH ROW EXECUTE FUNCTION ${name}()`)
  } else if (of.options.type === 'mariadb')
    await of.query(`CREATE TRIGGER ${name} ${event} ON ${table} FOR EACH ROW BEGIN IF ${when} THEN ${mysql} END IF; END`)
  else await of.query(`CREATE TRIGGER ${name} ${event} ON ${table} WHEN ${when} BEGIN ${sqlite} END`)
}

const FAILS: Words = {
  sqlite: `SELECT RAISE(ABORT, 'secret');`,
  postgres: `RAISE EXCEPTION 'secret' USING ERRCODE = 'UE001';`,
  mysql: `SIGNAL SQLSTATE 'UE001' SET MESSAGE_TEXT = 'secret';`,
}
/** What no table of classes names. */
const UNFORESEEN: Words = {
  sqlite: `SELECT json('{secret');`,
  postgres: `PERFORM (SELECT 'secret' UNION SELECT NEW.name);`,
  mysql: `SET @one = (SELECT 'secret' UNION SELECT NEW.name);`,
}
const SKIPS: Words = { sqlite: 'SELECT RAISE(IGNORE);', postgres: 'RETURN NULL;' }
const hasSkips = (kind: Kind) => kind !== 'mysql'

describe.each(SERVERS)('on %s', kind => {
  describe('rows that need each other in a circle over several collections', () => {
    test('are stored by one POST, changed by one, and go with one', async () => {
      const { post, get, there } = await start(kind)
      const createdLocally = await post(together(circle(1, 2), circle(2, 3), circle(3, 1)))
      expect(createdLocally).toMatchObject({ status: 200, json: { status: 'ok', since: expect.any(Number) } })
      expect((await get()).changes['/clubs']).toMatchObject([{ pass: 'p2' }, { pass: 'p3' }, { pass: 'p1' }])
      // those that are known get others, and new ones come into the circle
      const edited = await post(
        together(circle(4, 1), {
          '/clubs': [{ id: 'c1', _partial: true, pass: 'p4' }],
          '/seats': [{ id: 's2', _partial: true, club: 'c4' }],
          '/passs': [{ id: 'p3', _partial: true, seat: 's1' }],
        }),
        `?since=${createdLocally.json.now}`,
      )
      expect(edited).toMatchObject({ status: 200, json: { since: createdLocally.json.now } })
      const { changes, now } = await get(createdLocally.json.now)
      expect(now).toBe(edited.json.now)
      expect(Object.values(changes as Groups).flatMap(rows => rows.map(r => r._lastChange))).toEqual(Array(6).fill(now))
      expect(await rowsIn(there)).toEqual({
        club: ['c1 club  p4', 'c2 club  p3', 'c3 club  p1', 'c4 club  p1'],
        seat: ['s1 seat  c1', 's2 seat  c4', 's3 seat  c3', 's4 seat  c4'],
        pass: ['p1 pass  s1', 'p2 pass  s2', 'p3 pass  s1', 'p4 pass  s4'],
      })
      const removals = (path: string, letter: string) => ({ [path]: [1, 2, 3, 4].map(n => ({ id: letter + n, _removed: true })) })
      const gone = await post(together(removals('/passs', 'p'), removals('/clubs', 'c'), removals('/seats', 's')), `?since=${now}`)
      expect(gone).toMatchObject({ status: 200, json: { since: now } })
      expect(await rowsIn(there)).toEqual(NOTHING)
      expect(Object.values((await get(now)).changes as Groups).flatMap(rows => rows.map(r => r._removed))).toEqual(Array(12).fill(true))
    })

    test('and were made offline are elsewhere after one POST and one GET, and gone after one more of each', async () => {
      const { url, there } = await start(kind)
      const alice = await openOn(deviceOn(kind), ALL, { server: url })
      const bob = await openOn(deviceOn(kind), ALL, { server: url })
      for (const n of [1, 2]) await makeCircle(alice, n)
      expect(await syncAll(alice)).toMatchObject({ pushed: 6, requests: 2, rejected: 0, unapplied: 0 })
      expect(await syncAll(bob)).toMatchObject({ pulled: 6, requests: 1, unapplied: 0 })
      for (const each of [alice, bob]) expect(await rowsIn(each)).toEqual(await rowsIn(there))
      await alice.getRepository('club').updateAll({ pass: null })
      for (const id of ['c1', 'c2']) await alice.getRepository('club').delete(id)
      expect(await syncAll(alice)).toMatchObject({ requests: 2, rejected: 0, unapplied: 0, conflicts: 0 })
      expect(await syncAll(bob)).toMatchObject({ unapplied: 0, conflicts: 0 })
      for (const each of [there, alice, bob]) expect(await rowsIn(each)).toEqual(NOTHING)
    })

    test('are stored but for one that is rejected, and follow it when it is mended', async () => {
      const { url, there } = await start(kind)
      await trigger(there, 'pass', 'BEFORE INSERT', `NEW.name = 'bad'`, FAILS)
      const alice = await openOn('sqljs', ALL, { server: url })
      await makeCircle(alice, 1, { pass: 'bad' })
      await makeCircle(alice, 2)
      await syncAll(alice)
      // the club’s reference to the pass follows
      expect(await rowsIn(there)).toEqual({
        club: ['c1 club  ', 'c2 club  p2'],
        seat: ['s1 seat  c1', 's2 seat  c2'],
        pass: ['p2 pass  s2'],
      })
      expect((await journal(alice.getRepository('pass')).rejected()).map(r => [r.id, r.code])).toEqual([['p1', 'not-valid']])
      await alice.getRepository('pass').update('p1', { name: 'good' })
      expect(await syncAll(alice)).toMatchObject({ rejected: 0, unapplied: 0 })
      expect(await rowsIn(there)).toEqual(await rowsIn(alice))
    })
  })

  describe.each(TABLES)('what a trigger on the %ss does', table => {
    const path = `/${table}s`
    const [letter] = table
    const isSqlite = kind === 'libsql'

    test.each(['INSERT', 'UPDATE'])('to an %s is in the answer, whatever else was in the push', async event => {
      const { there, url, post, get } = await start(kind)
      await trigger(there, table, `${isSqlite ? 'AFTER' : 'BEFORE'} ${event}`, `NEW.name = 'touch'`, {
        sqlite: `UPDATE ${table} SET note = 'seen' WHERE id = NEW.id;`,
        postgres: `NEW.note := 'seen';`,
        mysql: `SET NEW.note = 'seen';`,
      })
      const alice = await openOn('sqljs', ALL, { server: url })
      await makeCircle(alice, 1, event === 'INSERT' ? { [table]: 'touch' } : {})
      if (event === 'UPDATE') await syncAll(alice)
      if (event === 'UPDATE') for (const each of TABLES) await alice.getRepository(each).update(`${each[0]}1`, { name: 'touch' })
      await syncAll(alice)
      await syncAll(alice)
      expect((await rowsIn(there))[table]).toEqual([expect.stringContaining('touch seen')])
      expect(await rowsIn(alice)).toEqual(await rowsIn(there))
      expect(await syncAll(alice)).toMatchObject({ pulled: 0, pushed: 0 })
      // and without a client: what lies between is to be read
      const { now } = await get()
      const rows = together(circle(2, 2, { name: 'touch' }))
      if (event === 'UPDATE') await post(circle(2))
      const answer = await post(rows, event === 'UPDATE' ? '' : `?since=${now}`)
      expect(answer).toMatchObject({ status: 200, json: { status: 'ok' } })
      expect(answer.json.since).toBeUndefined()
      expect((await get(now)).changes[path]).toMatchObject([
        { id: `${letter}2`, name: 'touch', note: 'seen', _lastChange: answer.json.now },
      ])
    })

    if (!hasSkips(kind)) return

    test('to keep a removed row is pulled, with what became of the others', async () => {
      const { there, url } = await start(kind)
      await trigger(there, table, 'BEFORE DELETE', `OLD.name = 'kept'`, {
        sqlite: `UPDATE ${table} SET note = 'deleted' WHERE id = OLD.id; SELECT RAISE(IGNORE);`,
        postgres: `UPDATE ${table} SET note = 'deleted' WHERE id = OLD.id; RETURN NULL;`,
      })
      const alice = await openOn('sqljs', ALL, { server: url })
      const bob = await openOn('sqljs', ALL, { server: url })
      await makeCircle(alice, 1, { [table]: 'kept' })
      await makeCircle(alice, 2)
      await syncAll(alice)
      await syncAll(bob)
      await alice.getRepository('club').updateAll({ pass: null })
      await alice.getRepository(table).delete(`${letter}1`)
      await alice.getRepository('club').delete('c2')
      // a club that comes back brings back what it names: that is a conflict
      for (const each of [alice, bob, alice]) await syncAll(each, preferRemoteConflictHandler)
      expect((await rowsIn(there))[table]).toEqual([expect.stringMatching(`^${letter}1 kept deleted `)])
      for (const each of [alice, bob]) expect(await rowsIn(each)).toEqual(await rowsIn(there))
      expect(
        Object.values(await rowsIn(there))
          .flat()
          .join(),
      ).not.toContain('2')
      expect(await syncAll(alice)).toMatchObject({ pulled: 0, pushed: 0, unapplied: 0, rejected: 0 })
    })

    test.each(['INSERT', 'UPDATE'])('to skip an %s rejects that row, by its collection, and stores what does not need it', async event => {
      const { there, url, post } = await start(kind)
      await trigger(there, table, `BEFORE ${event}`, `NEW.name = 'skip'`, SKIPS)
      const rows = together(circle(1), circle(2))
      if (event === 'UPDATE') await post(rows)
      for (const row of rows[path] as any[]) if (row.id.endsWith('1')) row.name = 'skip'
      const { status, json } = await post(rows)
      expect({ status, errors: json.errors }).toMatchObject({ status: 422, errors: expect.any(Array) })
      expect(json.errors).toContainEqual({ ...{ collection: path, id: `${letter}1`, code: 'skipped' }, detail: expect.any(String) })
      expect(json.errors.filter((e: any) => e.code === 'skipped')).toHaveLength(1)
      const alice = await openOn('sqljs', ALL, { server: url })
      if (event === 'UPDATE') {
        await syncAll(alice)
        for (const each of TABLES) await alice.getRepository(each).update(`${each[0]}2`, { name: 'fine' })
        await alice.getRepository(table).update(`${letter}1`, { name: 'skip' })
      } else for (const n of [1, 2]) await makeCircle(alice, n, n === 1 ? { [table]: 'skip' } : {})
      await syncAll(alice)
      expect((await journal(alice.getRepository(table)).rejected()).map(r => [r.id, r.code])).toEqual([[`${letter}1`, 'skipped']])
      const stands = await rowsIn(there)
      for (const each of TABLES)
        expect(stands[each]).toContainEqual(expect.stringMatching(`^${each[0]}2 ${event === 'UPDATE' ? 'fine' : each} `))
      expect(stands[table].some(row => row.includes('skip'))).toBe(false)
      expect((await rowsIn(alice))[table]).toContainEqual(expect.stringContaining('skip'))
    })
  })

  describe('an unforeseen error', () => {
    test.each([
      ['the application’s own', FAILS],
      ['one of the database’s', UNFORESEEN],
    ])('(%s) rejects its rows in whatever collection, and stores the rest', async (_, words) => {
      const { there, url, errors } = await start(kind)
      for (const table of ['seat', 'pass'] as const) await trigger(there, table, 'BEFORE INSERT', `NEW.name = 'bad'`, words)
      const alice = await openOn('sqljs', ALL, { server: url })
      await makeCircle(alice, 0)
      await syncAll(alice)
      const add = (table: Table, id: string, name: string, more: object) => alice.getRepository(table).insert({ id, name, ...more })
      for (const id of ['a', 'b']) await add('club', id, 'fine', {})
      for (const [id, name] of Object.entries({ d: 'fine', e: 'bad', f: 'fine' })) await add('seat', id, name, { club: { id: 'a' } })
      for (const [id, name] of Object.entries({ g: 'bad', h: 'fine', i: 'fine' })) await add('pass', id, name, { seat: { id: 'd' } })
      await alice.getRepository('club').update('c0', { name: 'renamed' })
      expect(await syncAll(alice)).toMatchObject({ rejected: 2, unapplied: 0 })
      const ids = async (table: Table) => (await rowsIn(there))[table].map(row => row.split(' ')[0])
      expect([await ids('club'), await ids('seat'), await ids('pass')]).toEqual([
        ['a', 'b', 'c0'],
        ['d', 'f', 's0'],
        ['h', 'i', 'p0'],
      ])
      expect((await rowsIn(there)).club.at(-1)).toMatch(/^c0 renamed/)
      for (const [table, id] of [
        ['seat', 'e'],
        ['pass', 'g'],
      ] as const) {
        const rejected = await journal(alice.getRepository(table)).rejected()
        expect(rejected).toMatchObject([{ id, code: 'not-valid' }])
        expect(JSON.stringify(rejected)).not.toContain('secret')
      }
      expect(await journal(alice.getRepository('club')).rejected()).toEqual([])
      expect(errors).toEqual([])
    })

    test.each([
      ['the application’s own', FAILS],
      ['one of the database’s', UNFORESEEN],
    ])('(%s) of a device’s database puts off the row that was pulled, in whatever collection, and stores the rest', async (_, words) => {
      const { there, url } = await start('libsql')
      const bob = await openOn(kind, ALL, { server: url })
      for (const table of ['seat', 'pass'] as const) {
        await trigger(bob, table, 'BEFORE INSERT', `NEW.name = 'bad'`, words)
        await trigger(bob, table, 'BEFORE UPDATE', `NEW.name = 'bad'`, words)
      }
      await makeCircle(there, 0)
      const unapplied = async (table: Table) => (await unappliedOf(journal(bob.getRepository(table)))).map(w => [w.id, w.reason])
      // a first answer, and then one of changes
      for (const round of ['x', 'y']) {
        await there.getRepository('club').insert({ id: round, name: 'fine' })
        for (const [n, name] of ['fine', 'bad', 'fine'].entries()) {
          await there.getRepository('seat').insert({ id: `${round}s${n}`, name, club: { id: round } })
          await there.getRepository('pass').insert({ id: `${round}p${n}`, name, seat: { id: 's0' } })
        }
        await there.getRepository('club').update('c0', { name: round })
        await syncAll(bob)
        const news = ['x', 'y'].slice(0, round === 'x' ? 1 : 2)
        const ids = async (table: Table) => (await rowsIn(bob))[table].map(row => row.split(' ')[0]).sort()
        expect([await ids('club'), await ids('seat'), await ids('pass')]).toEqual([
          ['c0', ...news],
          ['s0', ...news.flatMap(r => [`${r}s0`, `${r}s2`])],
          ['p0', ...news.flatMap(r => [`${r}p0`, `${r}p2`])],
        ])
        expect((await rowsIn(bob)).club[0]).toMatch(`c0 ${round}`)
        expect([await unapplied('club'), await unapplied('seat'), await unapplied('pass')]).toEqual([
          [],
          news.map(r => [`${r}s1`, 'not-valid']),
          news.map(r => [`${r}p1`, 'not-valid']),
        ])
      }
      // an edit that is rejected leaves the row as it was
      for (const [table, id] of [
        ['seat', 's0'],
        ['pass', 'xp0'],
      ] as const)
        await there.getRepository(table).update(id, { name: 'bad' })
      await there.getRepository('club').update('x', { name: 'edited' })
      await syncAll(bob)
      expect(await unapplied('seat')).toContainEqual(['s0', 'not-valid'])
      expect(await unapplied('pass')).toContainEqual(['xp0', 'not-valid'])
      expect((await rowsIn(bob)).club).toContainEqual(expect.stringMatching(/^x edited/))
      expect((await rowsIn(bob)).seat).toContainEqual(expect.stringMatching(/^s0 seat/))
    })
  })
})
