// A row that the database rejects, for whatever reason, is named; the others are stored, and no answer has the database's own words.

import { describe, expect, test } from '@jest/globals'
import { DataSource, EntitySchema } from 'typeorm'
import { enableSync, journal, syncAll, withSync } from 'typeorm-sync'
import { type Kind, openOn, SERVERS, serve, sql } from '../support/eachDatabase.js'
import { onServer } from '../support/postgresDatabase.js'
import { unappliedOf } from '../support/unapplied.js'

interface Memo {
  id: string
  text: string
}
const Memo = new EntitySchema<Memo>({
  ...{ name: 'Memo', tableName: 'memo' },
  columns: { id: { type: 'varchar', primary: true }, text: { type: 'text' } },
})
enableSync(Memo, '/memos')

const GUARDS: Record<string, string[]> = {
  sqlite: [
    `CREATE TRIGGER guard BEFORE INSERT ON memo WHEN NEW.text = 'bad' BEGIN SELECT RAISE(ABORT, 'secret'); END`,
    `CREATE TRIGGER guard2 BEFORE INSERT ON memo WHEN NEW.text = 'worse' BEGIN SELECT json('{secret'); END`,
  ],
  postgres: [
    `CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       IF NEW.text = 'bad' THEN RAISE EXCEPTION 'secret' USING ERRCODE = 'UE001'; END IF;
       IF NEW.text = 'worse' THEN EXECUTE 'SELECT secret'; END IF;
       RETURN NEW; END $$`,
    'CREATE TRIGGER guard BEFORE INSERT ON memo FOR EACH ROW EXECUTE FUNCTION guard()',
  ],
  mysql: [
    `CREATE TRIGGER guard BEFORE INSERT ON memo FOR EACH ROW BEGIN
       IF NEW.text = 'bad' THEN SIGNAL SQLSTATE 'UE001' SET MESSAGE_TEXT = 'secret'; END IF;
       IF NEW.text = 'worse' THEN INSERT INTO secret VALUES (1); END IF; END`,
  ],
}
/** What no table of classes names: JSON that is none, two rows where there may be one. */
const UNFORESEEN: Record<string, string[]> = {
  sqlite: [`CREATE TRIGGER guard BEFORE INSERT ON memo WHEN NEW.text = 'poison' BEGIN SELECT json('{secret'); END`],
  postgres: [
    `CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       IF NEW.text = 'poison' THEN PERFORM (SELECT 'secret' UNION SELECT NEW.text); END IF;
       RETURN NEW; END $$`,
    'CREATE TRIGGER guard BEFORE INSERT ON memo FOR EACH ROW EXECUTE FUNCTION guard()',
  ],
  mysql: [
    `CREATE TRIGGER guard BEFORE INSERT ON memo FOR EACH ROW BEGIN
       IF NEW.text = 'poison' THEN SET @one = (SELECT 'secret' UNION SELECT NEW.text); END IF; END`,
  ],
}
const MISMATCHES: Record<string, string> = {
  sqlite: 'CREATE TRIGGER old AFTER INSERT ON memo BEGIN INSERT INTO gone VALUES (1); END',
  postgres: `CREATE FUNCTION old() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO gone VALUES (1); RETURN NEW; END $$;
    CREATE TRIGGER old BEFORE INSERT ON memo FOR EACH ROW EXECUTE FUNCTION old()`,
  mysql: 'CREATE TRIGGER old BEFORE INSERT ON memo FOR EACH ROW INSERT INTO gone VALUES (1)',
}
const guard = async (kind: Kind, dataSource: DataSource) => {
  for (const text of GUARDS[kind] ?? (GUARDS.sqlite as string[])) await dataSource.query(text)
}
const codes = (json: { errors: { id: string; code: string }[] }) => Object.fromEntries(json.errors.map(e => [e.id, e.code]))

describe.each([...SERVERS, 'sqljs'] as Kind[])('on %s', kind => {
  test('a rule of the application rejects its row, and so does an unforeseen error that is the row’s fault', async () => {
    const there = await openOn(kind, [Memo])
    await guard(kind, there)
    const { post, url, errors } = await serve(there)
    const answer = await post('/memos', [
      { id: 'a', text: 'bad' },
      { id: 'b', text: 'fine' },
      { id: 'c', text: 'worse' },
    ])
    expect([answer.status, codes(answer.json)]).toEqual([422, { a: 'not-valid', c: 'not-valid' }])
    expect(JSON.stringify(answer.json)).not.toContain('secret')
    if (kind === 'postgres') expect(answer.json.errors[0].detail).toContain('UE001')
    const alice = await openOn('sqljs', [Memo], { server: url })
    await alice.getRepository(Memo).save([
      { id: 'a', text: 'bad' },
      { id: 'b', text: 'fine' },
      { id: 'c', text: 'worse' },
    ])
    await syncAll(alice)
    expect((await sql(there, 'SELECT id FROM memo')).map((m: Memo) => m.id)).toEqual(['b'])
    expect((await journal(alice.getRepository(Memo)).rejected()).map(r => r.id)).toEqual(['a', 'c'])
    expect(errors).toEqual([])
  })

  test('what fails for every row is no row’s fault: the server failed, and says so', async () => {
    const there = await openOn(kind, [Memo])
    await guard(kind, there)
    const { post, errors } = await serve(there)
    const answer = await post('/memos', [
      { id: 'a', text: 'worse' },
      { id: 'b', text: 'worse' },
    ])
    expect(answer.status).toBe(500)
    expect(JSON.stringify(answer.json)).not.toContain('secret')
    expect(errors).toHaveLength(1)
  })

  test('a row that is pushed alone and fails for an unforeseen reason is rejected, and does not block the queue', async () => {
    const there = await openOn(kind, [Memo])
    for (const text of UNFORESEEN[kind] ?? (UNFORESEEN.sqlite as string[])) await there.query(text)
    const { post, url, errors } = await serve(there)
    const answer = await post('/memos', [{ id: 'a', text: 'poison' }])
    expect([answer.status, codes(answer.json)]).toEqual([422, { a: 'not-valid' }])
    expect(JSON.stringify(answer.json)).not.toMatch(/secret|subquery/i)
    const alice = await openOn('sqljs', [Memo], { server: url })
    await alice.getRepository(Memo).save({ id: 'a', text: 'poison' })
    await syncAll(alice)
    await alice.getRepository(Memo).save({ id: 'b', text: 'fine' })
    await syncAll(alice)
    expect((await sql(there, 'SELECT id FROM memo')).map((m: Memo) => m.id)).toEqual(['b'])
    expect((await journal(alice.getRepository(Memo)).rejected()).map(r => r.id)).toEqual(['a'])
    expect(errors).toEqual([])
  })

  test('rows that all fail for an unforeseen reason are rejected one by one, and do not block the queue', async () => {
    const there = await openOn(kind, [Memo])
    for (const text of UNFORESEEN[kind] ?? (UNFORESEEN.sqlite as string[])) await there.query(text)
    const { url } = await serve(there)
    const alice = await openOn('sqljs', [Memo], { server: url })
    const memos = alice.getRepository(Memo)
    for (const id of ['a', 'b', 'c']) await memos.save({ id, text: 'poison' })
    await expect(syncAll(alice)).rejects.toMatchObject({ status: 500 })
    expect(await syncAll(alice)).toMatchObject({ rejected: 3 })
    await memos.save({ id: 'd', text: 'fine' })
    await syncAll(alice)
    expect((await sql(there, 'SELECT id FROM memo')).map((m: Memo) => m.id)).toEqual(['d'])
    expect((await journal(memos).rejected()).map(r => r.id)).toEqual(['a', 'b', 'c'])
  })

  test('a row by itself is not to blame where the statement names what is not there', async () => {
    const there = await openOn(kind, [Memo])
    await there.query(MISMATCHES[kind] ?? (MISMATCHES.sqlite as string))
    const { post } = await serve(there)
    expect((await post('/memos', [{ id: 'a', text: 'fine' }])).status).toBe(500)
    // the application's own trigger, after a migration that has forgotten it
    await there.query(kind === 'postgres' ? 'DROP TRIGGER old ON memo' : 'DROP TRIGGER old')
    expect((await post('/memos', [{ id: 'a', text: 'fine' }])).status).toBe(200)
  })

  test('a device goes on without a row that its own database rejects', async () => {
    const there = await openOn('libsql', [Memo])
    const { url } = await serve(there)
    const bob = await openOn(kind, [Memo], { server: url })
    await guard(kind, bob)
    for (const [id, text] of [...['a', 'c', 'd'].map(id => [id, 'fine']), ['b', 'bad'], ['e', 'worse']])
      await sql(there, 'INSERT INTO memo (id, text) VALUES (?, ?)', [id, text])
    await syncAll(bob)
    expect((await sql(bob, 'SELECT id FROM memo ORDER BY id')).map((m: Memo) => m.id)).toEqual(['a', 'c', 'd'])
    expect((await unappliedOf(journal(bob.getRepository(Memo)))).map(w => [w.id, w.reason])).toEqual([
      ['b', 'not-valid'],
      ['e', 'not-valid'],
    ])
  })
})

const Doc = new EntitySchema<any>({
  ...{ name: 'Doc', tableName: 'doc' },
  columns: { id: { type: 'varchar', primary: true }, tree: { type: 'simple-json' } },
})
enableSync(Doc, '/docs')
function nested(levels: number): unknown {
  let tree: unknown = 1
  for (let i = 0; i < levels; i++) tree = [tree]
  return tree
}

test('JSON that is nested deep is rejected by its row, and by nothing else', async () => {
  const there = await openOn('libsql', [Doc])
  const { post, url } = await serve(there)
  // JSON.stringify does it as deep as that here, not much deeper
  const deep = { id: 'b', tree: nested(2_000) }
  const answer = await post('/docs', [{ id: 'a', tree: nested(600) }, deep])
  expect([answer.status, answer.json.errors]).toMatchObject([422, [{ id: 'b', property: 'tree', code: 'not-valid' }]])
  // deeper than JSON.stringify goes
  const text = `{"id": "b", "tree": ${'['.repeat(9_000)}${']'.repeat(9_000)}}`
  const headers = { 'Content-Type': 'application/json' }
  const twice = await fetch(`${url}/docs`, { method: 'POST', headers, body: `[${text}, ${text}]` })
  expect(twice.status).toBe(422)
  const alice = await openOn('sqljs', [Doc], { server: url, fetch: wire })
  await alice.getRepository(Doc).insert({ id: 'a', tree: nested(600) })
  await alice.getRepository(Doc).insert({ id: 'c', tree: 1 })
  // deeper than JSON.stringify goes
  await alice.query('INSERT INTO doc (id, tree) VALUES (?, ?)', ['b', `${'['.repeat(20_000)}${']'.repeat(20_000)}`])
  await syncAll(alice)
  expect(await there.query('SELECT id FROM doc ORDER BY id')).toEqual([{ id: 'a' }, { id: 'c' }])
  const rejected = await alice.query('SELECT id, code, property FROM sync_rejection')
  expect(rejected).toEqual([{ id: 'b', code: 'not-valid', property: 'tree' }])
  expect(bodies.every(body => !body.includes('"b"'))).toBe(true)
  expect(await syncAll(alice)).toMatchObject({ pushed: 0 })
})

const bodies: string[] = []
const wire: typeof fetch = (input, init) => {
  if (init?.body) bodies.push(String(init.body))
  return fetch(input, init)
}

test('RAISE(ROLLBACK) ends the whole transaction: nothing after it is stored by itself', async () => {
  for (const kind of ['libsql', 'sqljs'] as const) {
    const there = await openOn(kind, [Memo])
    await there.query(`CREATE TRIGGER guard BEFORE INSERT ON memo WHEN NEW.text = 'bad' BEGIN SELECT RAISE(ROLLBACK, 'secret'); END`)
    const { post } = await serve(there)
    const answer = await post('/memos', [
      { id: 'a', text: 'fine' },
      { id: 'b', text: 'bad' },
      { id: 'c', text: 'fine' },
    ])
    expect(answer.status).toBeGreaterThanOrEqual(400)
    expect(await there.query('SELECT id FROM memo')).toEqual([])
    expect((await post('/memos', [{ id: 'a', text: 'fine' }])).status).toBe(200)
  }
})

if (SERVERS.includes('postgres')) {
  test('a row that its index cannot hold is rejected as too large', async () => {
    const there = await openOn('postgres', [Memo])
    await there.query('CREATE INDEX memo_text ON memo (text)')
    const { post } = await serve(there)
    const text = Array.from({ length: 10_000 }, () => String.fromCharCode(33 + Math.floor(Math.random() * 90))).join('')
    const answer = await post('/memos', [
      { id: 'a', text },
      { id: 'b', text: 'fine' },
    ])
    expect([answer.status, codes(answer.json)]).toEqual([422, { a: 'too-large' }])
    expect((await post('/memos', [{ id: 'a', text }])).status).toBe(422)
  })

  describe('under row level security', () => {
    const role = `sync_role_${process.pid}`
    async function restricted(...policies: string[]) {
      const owner = await openOn('postgres', [Memo])
      await owner.query(`CREATE ROLE ${role} LOGIN`)
      await owner.query(`GRANT ALL ON ALL TABLES IN SCHEMA public TO ${role}`)
      for (const policy of policies) await owner.query(policy)
      const url = new URL(String((owner.options as { url?: string }).url))
      url.username = role
      const dataSource = withSync(new DataSource({ type: 'postgres', url: url.href, entities: [Memo] }), { setUp: false })
      const { post } = await serve(await dataSource.initialize())
      return {
        owner,
        post,
        async end() {
          await dataSource.destroy()
          await owner.query(`DROP OWNED BY ${role}`)
          await onServer(`DROP ROLE ${role}`)
        },
      }
    }

    test('a row that a policy forbids is rejected, and no other one', async () => {
      const { owner, post, end } = await restricted(
        'ALTER TABLE memo ENABLE ROW LEVEL SECURITY',
        `CREATE POLICY p ON memo USING (text = 'local')`,
      )
      try {
        const answer = await post('/memos', [
          { id: 'a', text: 'yours' },
          { id: 'b', text: 'local' },
        ])
        expect([answer.status, codes(answer.json)]).toEqual([422, { a: 'not-allowed' }])
        expect((await post('/memos', [{ id: 'a', text: 'yours' }])).json.errors[0].code).toBe('not-allowed')
        expect((await post('/memos', [{ id: 'b', text: 'local' }])).status).toBe(200)
        expect(await owner.query('SELECT id FROM memo')).toEqual([{ id: 'b' }])
      } finally {
        await end()
      }
    })

    test('a privilege that is missing for the whole table is the server’s matter', async () => {
      const { post, end } = await restricted(`REVOKE INSERT ON memo FROM ${role}`)
      try {
        expect((await post('/memos', [{ id: 'a', text: 'x' }])).status).toBe(503)
        const both = await post('/memos', [
          { id: 'a', text: 'x' },
          { id: 'b', text: 'y' },
        ])
        expect(both.status).toBe(503)
      } finally {
        await end()
      }
    })
  })
}
