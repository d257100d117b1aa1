// A POST to the feed: what a client changed in several collections, all of it or nothing.

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { EntitySchema } from 'typeorm'
import { enableSync } from 'typeorm-sync'
import { startTodo, type Todo } from './todoServer.js'

const text = { type: 'varchar', length: 255 } as const
const schema = (name: string, columns: object, relations: object = {}, url = `/${name.toLowerCase()}s`) => {
  const entity = new EntitySchema<any>({
    ...{ name, tableName: name.toLowerCase() },
    columns: { id: { ...text, primary: true }, ...columns } as any,
    relations: relations as any,
  })
  enableSync(entity, url)
  return entity
}
const to = (target: string, onDelete: string, column?: string) => ({
  ...{ type: 'many-to-one', target, nullable: true, onDelete },
  ...(column ? { joinColumn: { name: 'parentCode', referencedColumnName: column } } : {}),
})
// schemas are found by their names: those of other specs are not repeated
const Plan = schema('Plan', { name: text }, {}, '/projectChanges')
const Job = schema('Job', { name: text, dueDate: { type: Date, nullable: true } }, { project: to('Plan', 'CASCADE') }, '/taskChanges')
// each needs the other
const Team = schema('Team', { name: text }, { leader: to('Person', 'RESTRICT') })
const Person = schema('Person', { name: { ...text, unique: true } }, { team: to('Team', 'CASCADE') })
// found by another column than the key, forbidding, and cleared
const Land = schema('Land', { code: { ...text, unique: true } })
const City = schema('City', { name: text }, { land: to('Land', 'RESTRICT', 'code') })
const Sticker = schema('Sticker', { name: { ...text, nullable: true } }, { project: to('Plan', 'SET NULL') })
// its key is the foreign key
const Detail = new EntitySchema<any>({
  ...{ name: 'Detail', tableName: 'detail' },
  columns: { id: { ...text, primary: true }, name: text },
  relations: { project: { type: 'one-to-one', target: 'Plan', onDelete: 'CASCADE', joinColumn: { name: 'id' } } },
} as any)
enableSync(Detail, '/details')

let todo: Todo
beforeAll(async () => {
  todo = await startTodo({ entities: [Plan, Job, Team, Person, Land, City, Sticker, Detail], maxRows: 50, maxBodyBytes: 50_000 })
})
afterAll(() => todo.stop())

const push = (changes: object, query = '', headers = {}) => todo.post(`/sync${query}`, { changes }, headers)
const now = async () => (await todo.get('/sync?limit=1')).json.now as number
const rowsAt = async (path: string) => new Map((await todo.get(path)).json.updates.map((row: any) => [row.id, row])) as Map<string, any>

let count = 0
/** Ids of its own for each test. */
const fresh = () => `x${++count}`

/** Nothing of it was stored. */
async function expectUnchanged(work: () => Promise<unknown>) {
  const before = (await todo.get('/sync')).text
  await work()
  expect((await todo.get('/sync')).text).toBe(before)
}

describe('stores', () => {
  test('rows of several collections under one stamp, children before their parents', async () => {
    const [p, t] = [fresh(), fresh()]
    const since = await now()
    const { status, json } = await push(
      { '/taskChanges': [{ id: t, name: 'Milk', project: p }], '/projectChanges': [{ id: p, name: 'Home' }] },
      `?since=${since}`,
    )
    expect({ status, json }).toEqual({ status: 200, json: { status: 'ok', now: expect.any(Number), since } })
    const { changes } = (await todo.get(`/sync?since=${since}`)).json
    expect(changes).toMatchObject({
      '/projectChanges': [{ id: p, _lastChange: json.now }],
      '/taskChanges': [{ id: t, project: p, _lastChange: json.now }],
    })
    // whole rows are as they were posted: nothing lies between
    const whole = { '/projectChanges': [{ id: fresh(), name: 'New' }], '/stickers': [{ id: fresh(), name: 'New', project: p }] }
    expect((await push(whole, `?since=${json.now}`)).json).toEqual({ status: 'ok', now: expect.any(Number), since: json.now })
  })

  test('rows that are known and rows that are new, which need each other', async () => {
    const [team, person, other] = [fresh(), fresh(), fresh()]
    expect(
      (await push({ '/teams': [{ id: team, name: 'A', leader: person }], '/persons': [{ id: person, name: person, team }] })).status,
    ).toBe(200)
    expect((await rowsAt('/teams')).get(team)).toMatchObject({ leader: person })
    const { status } = await push({
      '/teams': [{ id: team, _partial: true, leader: other }],
      '/persons': [{ id: other, name: other, team }],
    })
    expect(status).toBe(200)
    expect((await rowsAt('/teams')).get(team)).toMatchObject({ leader: other })
  })

  test('a removal with the move of its children, and with the removal of others', async () => {
    const [old, next, moved, left] = [fresh(), fresh(), fresh(), fresh()]
    await push({
      '/projectChanges': [{ id: old, name: 'Old' }],
      '/taskChanges': [moved, left].map(id => ({ id, name: 'x', project: old })),
    })
    const since = await now()
    const { status, json } = await push(
      {
        '/projectChanges': [
          { id: old, _removed: true },
          { id: next, name: 'Next' },
        ],
        '/taskChanges': [
          { id: moved, _partial: true, project: next },
          { id: left, _removed: true },
        ],
      },
      `?since=${since}`,
    )
    // nothing changed besides what was posted
    expect({ status, json }).toEqual({ status: 200, json: { status: 'ok', now: expect.any(Number), since } })
    const tasks = await rowsAt('/taskChanges')
    expect([tasks.get(moved)?.project, tasks.get(left)]).toEqual([next, undefined])
  })

  test('unique values that rows exchange', async () => {
    const [a, b] = [fresh(), fresh()]
    await push({ '/persons': [a, b].map(id => ({ id, name: id })) })
    expect(
      (
        await push({
          '/persons': [
            { id: a, name: b },
            { id: b, name: a },
          ],
          '/teams': [{ id: fresh(), name: 'T', leader: a }],
        })
      ).status,
    ).toBe(200)
    expect((await rowsAt('/persons')).get(a)).toMatchObject({ name: b })
  })

  test('a row whose parent comes along, by another column than its key, and by its own key', async () => {
    const [land, city, project] = [fresh(), fresh(), fresh()]
    const changes = {
      '/citys': [{ id: city, name: 'x', land }],
      '/lands': [{ id: fresh(), code: land }],
      '/details': [{ id: project, name: 'x' }],
      '/projectChanges': [{ id: project, name: 'x' }],
    }
    expect(await push(changes)).toMatchObject({ status: 200 })
    // as an edit among others: the general way
    const [second, third] = [fresh(), fresh()]
    const more = {
      '/citys': [{ id: city, _partial: true, land: second }],
      '/lands': [{ id: fresh(), code: second }],
      '/details': [{ id: third, name: 'x' }],
      '/projectChanges': [{ id: third, name: 'x' }],
    }
    expect(await push(more)).toMatchObject({ status: 200 })
    expect((await rowsAt('/citys')).get(city)).toMatchObject({ land: second })
  })

  test('a posted child loses a parent that is removed, and the client has to pull it', async () => {
    const [p, sticker] = [fresh(), fresh()]
    await push({ '/projectChanges': [{ id: p, name: 'x' }], '/stickers': [{ id: sticker, name: 'x', project: p }] })
    const since = await now()
    const { status, json } = await push(
      { '/projectChanges': [{ id: p, _removed: true }], '/stickers': [{ id: sticker, _partial: true, name: 'y' }] },
      `?since=${since}`,
    )
    expect({ status, since: json.since }).toEqual({ status: 200, since: undefined })
    expect((await rowsAt('/stickers')).get(sticker)).toMatchObject({ name: 'y', project: null })
  })

  test('what it does not know not at all, and names it by collection', async () => {
    const [p, t] = [fresh(), fresh()]
    const changes = { '/projectChanges': [{ id: p, name: 'x', color: 'red' }], '/taskChanges': [{ id: t, name: 'x', size: 1 }] }
    expect((await push(changes)).json).toMatchObject({ ignored: { '/projectChanges': ['color'], '/taskChanges': ['size'] } })
    const many = Array.from({ length: 501 }, (_, i) => `p${i}`)
    const wide = Object.fromEntries(many.map(name => [name, 1]))
    await expectUnchanged(async () =>
      expect((await push({ '/projectChanges': [{ id: p, ...wide }], '/taskChanges': [{ id: t, ...wide }] })).status).toBe(400),
    )
  })

  test('the same push once, whatever comes again; an empty one ends it', async () => {
    const t = fresh()
    const key = { 'Idempotency-Key': fresh() }
    const changes = { '/taskChanges': [{ id: t, name: 'x', color: 1 }] }
    const first = (await push(changes, '', key)).json
    const again = await push(changes, '', key)
    expect(again).toMatchObject({ json: { ...first, replayed: true }, headers: { 'idempotency-replayed': 'true' } })
    expect((await push({}, '', key)).json).toEqual({ ...first, replayed: true })
    expect((await push({ '/taskChanges': [] }, '', key)).json.replayed).toBe(true)
    expect((await push({ '/taskChanges': [{ id: t, name: 'y' }] }, '', key)).json.type).toBe('urn:typeorm-sync:key-reused')
    // a key of the feed is not one of a route
    expect((await todo.post('/taskChanges', [{ id: t, name: 'z' }], key)).status).toBe(200)
    const unknown = { 'Idempotency-Key': fresh() }
    const before = await now()
    expect((await push({}, '', unknown)).json).toEqual({ status: 'ok', now: before, since: before, empty: true })
    expect((await push(changes, '', unknown)).json).toMatchObject({ empty: true, replayed: true })
    expect((await push({})).json).toEqual({ status: 'ok', now: before, since: before })
  })
})

describe('does not store, for others were faster: 409', () => {
  test('a row of any of its collections that changed since', async () => {
    const [p, t] = [fresh(), fresh()]
    await push({ '/projectChanges': [{ id: p, name: 'x' }], '/taskChanges': [{ id: t, name: 'x' }] })
    const since = await now()
    await push({ '/taskChanges': [{ id: t, name: 'remote' }] })
    await expectUnchanged(async () => {
      const { status, json } = await push(
        { '/projectChanges': [{ id: p, name: 'local' }], '/taskChanges': [{ id: t, name: 'local' }] },
        `?since=${since}`,
      )
      expect({ status, json }).toMatchObject({
        status: 409,
        json: { type: 'urn:typeorm-sync:rows-contested', now: await now(), collection: expect.any(String) },
      })
      expect(json.changes).toEqual({ '/taskChanges': [expect.objectContaining({ id: t, name: 'remote' })] })
      expect(json.updates).toBeUndefined()
    })
  })

  test('a part of a row that is not there', async () => {
    const t = fresh()
    await expectUnchanged(async () => {
      const { status, json } = await push({
        '/taskChanges': [{ id: t, _partial: true, name: 'x' }],
        '/projectChanges': [{ id: fresh(), name: 'x' }],
      })
      expect({ status, changes: json.changes }).toEqual({
        status: 409,
        changes: { '/taskChanges': [{ id: t, _removed: true, _lastChange: 0 }] },
      })
    })
  })

  test('a removal that cascades to a row which the sender has not seen, of a collection that it has', async () => {
    const [p, t] = [fresh(), fresh()]
    await push({ '/projectChanges': [{ id: p, name: 'x' }] })
    const since = await now()
    await push({ '/taskChanges': [{ id: t, name: 'remote', project: p }] })
    const removal = { '/projectChanges': [{ id: p, _removed: true }] }
    for (const query of [`?since=${since}`, `?since=${since}&collections=/projectChanges,/taskChanges`])
      await expectUnchanged(async () => {
        const { status, json } = await push(removal, query)
        expect({ status, changes: json.changes }).toEqual({
          status: 409,
          changes: { '/taskChanges': [expect.objectContaining({ id: t, name: 'remote' })] },
        })
      })
    // of one that it has not, it cannot have seen any
    expect((await push(removal, `?since=${since}&collections=/projectChanges`)).status).toBe(200)
    expect((await rowsAt('/taskChanges')).has(t)).toBe(false)
  })

  test('another history', async () => {
    const { status, json } = await push({ '/taskChanges': [{ id: fresh(), name: 'x' }] }, '?since=5&collection=other')
    expect({ status, json }).toMatchObject({ status: 409, json: { reset: 'collection-changed', changes: {} } })
  })
})

describe('rejects, and stores nothing: 422', () => {
  const errorsOf = async (changes: object, query = '') => {
    let errors: any[] = []
    await expectUnchanged(async () => {
      const { status, json } = await push(changes, query)
      expect({ status, type: json.type }).toEqual({ status: 422, type: 'urn:typeorm-sync:rows-refused' })
      errors = json.errors.map(({ detail: _, ...error }: any) => error)
    })
    return errors
  }

  test('rows of any collection, and names it', async () => {
    const [a, b, c] = [fresh(), fresh(), fresh()]
    const errors = await errorsOf({
      '/taskChanges': [{ id: a, name: 'x', project: 'nobody' }, { id: b, name: 'x', dueDate: 'never' }, { name: 'x' }],
      '/projectChanges': [{ id: c, name: null }],
    })
    expect(errors).toContainEqual({ collection: '/taskChanges', id: a, property: 'project', code: 'parent-missing' })
    expect(errors).toContainEqual({ collection: '/taskChanges', id: b, property: 'dueDate', code: 'not-valid' })
    expect(errors).toContainEqual({ collection: '/taskChanges', id: '', code: 'bad-id' })
    // what is bad to begin with is named first; the next push names the others
    expect(await errorsOf({ '/projectChanges': [{ id: c, name: null }], '/taskChanges': [{ id: a, name: 'x' }] })).toEqual([
      { collection: '/projectChanges', id: c, property: 'name', code: 'not-valid' },
    ])
  })

  test('one id twice in a collection, but not in two', async () => {
    const id = fresh()
    expect(
      await errorsOf({
        '/taskChanges': [
          { id, name: 'x' },
          { id, name: 'y' },
        ],
      }),
    ).toEqual([{ collection: '/taskChanges', id, code: 'duplicate-id' }])
    expect((await push({ '/taskChanges': [{ id, name: 'x' }], '/projectChanges': [{ id, name: 'y' }] })).status).toBe(200)
  })

  test('a row that needs one which goes in the same push, directly or along with another', async () => {
    const [p, t, team, person, land, code] = [fresh(), fresh(), fresh(), fresh(), fresh(), fresh()]
    await push({
      '/projectChanges': [{ id: p, name: 'x' }],
      '/teams': [{ id: team, name: 'x' }],
      '/persons': [{ id: person, name: person, team }],
      '/lands': [{ id: land, code }],
    })
    const parentMissing = (collection: string, id: string, property: string) => [{ collection, id, property, code: 'parent-missing' }]
    expect(await errorsOf({ '/projectChanges': [{ id: p, _removed: true }], '/taskChanges': [{ id: t, name: 'x', project: p }] })).toEqual(
      parentMissing('/taskChanges', t, 'project'),
    )
    expect(await errorsOf({ '/projectChanges': [{ id: p, _removed: true }], '/details': [{ id: p, name: 'x' }] })).toEqual(
      parentMissing('/details', p, 'id'),
    )
    expect(await errorsOf({ '/lands': [{ id: land, _removed: true }], '/citys': [{ id: t, name: 'x', land: code }] })).toEqual(
      parentMissing('/citys', t, 'land'),
    )
    // the removal of the team cascades to its person, whom another team names as its leader
    expect(
      await errorsOf({
        '/teams': [
          { id: team, _removed: true },
          { id: t, name: 'x', leader: person },
        ],
      }),
    ).toEqual(parentMissing('/teams', t, 'leader'))
    // and a row that the same push changes is not removed with its parent
    expect(await errorsOf({ '/teams': [{ id: team, _removed: true }], '/persons': [{ id: person, _partial: true, name: 'y' }] })).toEqual(
      parentMissing('/persons', person, 'team'),
    )
  })

  test('a parent that rows need, unless they go or leave in the same push', async () => {
    const [land, other, a, b] = [fresh(), fresh(), fresh(), fresh()]
    await push({ '/lands': [land, other].map(id => ({ id, code: id })), '/citys': [a, b].map(id => ({ id, name: 'x', land })) })
    const removal = { '/lands': [{ id: land, _removed: true }] }
    expect(await errorsOf({ ...removal, '/citys': [{ id: a, _removed: true }] })).toEqual([
      { collection: '/lands', id: land, code: 'children-exist' },
    ])
    expect(
      (
        await push({
          ...removal,
          '/citys': [
            { id: a, _removed: true },
            { id: b, _partial: true, land: other },
          ],
        })
      ).status,
    ).toBe(200)
  })

  test('one that the database rejects, by name, and none of the others', async () => {
    const [a, taken, p] = [fresh(), fresh(), fresh()]
    await push({ '/persons': [{ id: taken, name: taken }] })
    const changes = {
      '/projectChanges': [{ id: p, name: 'x' }],
      '/persons': [{ id: a, name: taken }],
      '/taskChanges': [{ id: a, name: 'x', project: p }],
    }
    expect(await errorsOf(changes)).toEqual([{ collection: '/persons', id: a, property: 'name', code: 'not-unique' }])
  })

  test('numbers that JSON rounds', async () => {
    const id = fresh()
    const { status, json } = await todo.post('/sync', `{"changes": {"/taskChanges": [{"id": "${id}", "name": 9007199254740993}]}}`)
    expect({ status, errors: json.errors }).toMatchObject({
      status: 422,
      errors: [{ collection: '/taskChanges', id, property: 'name', code: 'not-valid' }],
    })
  })

  test('collections that it does not serve', async () => {
    await expectUnchanged(async () => {
      const { status, json } = await push({ '/projectChanges': [{ id: fresh(), name: 'x' }], '/colorChanges': [{ id: 'red' }] })
      expect({ status, json }).toMatchObject({
        status: 422,
        json: { type: 'urn:typeorm-sync:collections-unknown', unknown: ['/colorChanges'] },
      })
      expect(json.errors).toBeUndefined()
    })
  })
})

test.each([
  ['no object', '[]'],
  ['nothing', ''],
  ['no changes', '{}'],
  ['changes that are a list', '{"changes": []}'],
  ['a group that is no array', '{"changes": {"/taskChanges": {}}}'],
  ['a row that is no object', '{"changes": {"/taskChanges": [1]}}'],
  ['a path twice', '{"changes": {"/taskChanges": [{"id": "twice", "name": "x"}], "/taskChanges": []}}'],
  ['a path twice, in other letters', '{"changes": {"/taskChanges" : [{"id": "twice", "name": "x"}], "\\u002ftaskChanges": []}}'],
  ['changes twice', '{"changes": {"/taskChanges": [{"id": "twice", "name": "x"}]}, "changes": {}}'],
])('a body with %s is none: 400', async (_, body) => {
  await expectUnchanged(async () => expect((await todo.post('/sync', body)).status).toBe(400))
})

test('a row may say a path, and its name as often as it likes', async () => {
  const id = fresh()
  const body = `{"changes": {"/taskChanges": [{"id": "${id}", "name": "/taskChanges"}, {"id": "${id}b", "name": "changes", "name": "\\":"}]}}`
  expect((await todo.post('/sync', body)).status).toBe(200)
})

test('all groups together have so many rows at most: 413', async () => {
  const rows = (n: number) => Array.from({ length: n }, () => ({ id: fresh(), name: 'x' }))
  await expectUnchanged(async () => {
    expect((await push({ '/taskChanges': rows(26), '/projectChanges': rows(25) })).status).toBe(413)
    expect((await push({ '/taskChanges': [{ id: fresh(), name: 'x'.repeat(50_000) }] })).status).toBe(413)
  })
  expect((await push({ '/taskChanges': rows(25), '/projectChanges': rows(25) })).status).toBe(200)
})
