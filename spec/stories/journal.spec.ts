import 'reflect-metadata'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { type DataSource, EntitySchema } from 'typeorm'
import {
  type Conflict,
  ConflictHandlerError,
  enableSync,
  hasLocalChanges,
  journal,
  NotInJournalError,
  preferLocalConflictHandler,
  preferNewest,
  preferNewestConflictHandler,
  preferRemoteConflictHandler,
  resolveEach,
  syncAll,
} from 'typeorm-sync'
import { changeLogOf } from '../../src/entity/registry.js'
import { unappliedOf } from '../support/unapplied.js'
import { applyDecided, device, expectAtRest, expectEqual, startServer, Wire } from './devices.js'

interface Address {
  street: string | null
  city: string | null
}
interface Contact {
  key: string
  name: string
  email: string | null
  age: number | null
  address: Address
  boss: Contact | null
  version: number
  updatedAt: Date
  deletedAt: Date | null
}

const text = { type: 'varchar' } as const

// The key is called otherwise, an address is embedded, and TypeORM keeps a version and dates by itself.
const addressSchema = () =>
  new EntitySchema<Address>({ name: 'Address', columns: { street: { ...text, nullable: true }, city: { ...text, nullable: true } } })

function contacts(rules: { unique?: boolean; adults?: boolean } = {}) {
  const schema = new EntitySchema<Contact>({
    name: 'Contact',
    tableName: 'contact',
    columns: {
      key: { ...text, name: 'id', primary: true },
      name: { ...text, unique: rules.unique === true },
      email: { ...text, nullable: true },
      age: { type: 'integer', nullable: true },
      version: { type: 'integer', version: true },
      updatedAt: { type: 'datetime', updateDate: true },
      deletedAt: { type: 'datetime', deleteDate: true, nullable: true },
    },
    embeddeds: { address: { schema: addressSchema() } },
    relations: { boss: { type: 'many-to-one', target: 'Contact', nullable: true } },
    ...(rules.adults && { checks: [{ expression: '"age" IS NULL OR "age" >= 18' }] }),
  })
  enableSync(schema, '/contactChanges')
  return schema
}

let server: Awaited<ReturnType<typeof startServer>>
let alice: DataSource
let bob: DataSource
let wire: Wire
const schema = contacts()

async function openWorld(onServer: EntitySchema<Contact> = schema): Promise<void> {
  server = await startServer([onServer])
  wire = new Wire()
  alice = await device([schema], server.url)
  bob = await device([schema], server.url, { fetch: wire.fetch })
}
async function closeWorld(): Promise<void> {
  await Promise.all([alice.destroy(), bob.destroy(), server.stop()])
}

const of = (who: DataSource) => who.getRepository<Contact>('Contact')
const notes = (who: DataSource) => journal(of(who))

async function expectDone(): Promise<void> {
  await applyDecided([alice, bob])
  await expectEqual([server.dataSource, alice, bob], ['contact'])
  await expectAtRest([alice, bob])
}

describe('two address books', () => {
  beforeEach(async () => {
    await openWorld()
    await of(alice).save({ key: 'c1', name: 'Carol', email: 'c@example.org', age: 40, address: { street: 'Main St', city: 'Berlin' } })
    await of(alice).save({ key: 'c2', name: 'Dan', address: { street: null, city: null } })
    await applyDecided([alice, bob])
  })
  afterEach(closeWorld)

  /** Both have changed Carol's name, and Alice was faster. */
  async function contest(name = 'Alice’s'): Promise<void> {
    await of(alice).update('c1', { name })
    await of(bob).update('c1', { name: 'Bob’s' })
    await syncAll(alice)
  }

  test('what was changed is pending until it is pushed', async () => {
    expect(await hasLocalChanges(bob)).toBe(false)
    await of(bob).update('c1', { email: 'new@example.org' })
    await of(bob).delete('c2')
    await of(bob).save({ key: 'c3', name: 'Eve', address: { street: null, city: null } })
    await of(bob).save({ key: 'c4', name: 'Never told', address: { street: null, city: null } })
    await of(bob).delete('c4')
    const url = `${server.url}/contactChanges`
    expect(await notes(bob).pending()).toMatchObject([
      { id: 'c1', url, local: { key: 'c1', email: 'new@example.org', address: { city: 'Berlin' } } },
      { id: 'c2', url, local: null },
      { id: 'c3', url, local: { name: 'Eve' } },
    ])
    expect(await notes(bob).pendingCount()).toBe(3)
    expect(await hasLocalChanges(of(bob))).toBe(true)
    expect(await syncAll(bob)).toMatchObject({ pushed: 3 })
    expect(await notes(bob).pending()).toEqual([])
    expect(await notes(bob).pendingCount()).toBe(0)
    expect(await hasLocalChanges(bob)).toBe(false)
    await expectDone()
  })

  test('a change that is undone before it was pushed is none', async () => {
    await of(bob).query(`UPDATE contact SET name = 'Karol' WHERE id = 'c1'`)
    await of(bob).query(`UPDATE contact SET name = 'Carol' WHERE id = 'c1'`)
    expect(await notes(bob).pending()).toEqual([])
    expect(await hasLocalChanges(bob)).toBe(false)
    expect(await syncAll(bob)).toMatchObject({ pushed: 0 })
    await expectDone()
  })

  test('to know whether there are local changes the first of them is enough, however many there are', async () => {
    const many = Array.from({ length: 300 }, (_, i) => ({ key: `m${i}`, name: `${i}`, address: { street: null, city: null } }))
    await of(bob).insert(many)
    const column = changeLogOf(bob).collections[0]?.column.get('name') as { toWire: (cell: unknown) => unknown }
    const { toWire } = column
    let values = 0
    column.toWire = cell => {
      values++
      return toWire(cell)
    }
    expect(await hasLocalChanges(bob)).toBe(true)
    expect(values).toBeLessThan(5)
    expect(await notes(bob).pendingCount()).toBe(300)
    column.toWire = toWire
  })

  test('of a pending change can be discarded what the server does not have', async () => {
    await of(bob).update('c1', { name: 'Oops' })
    await of(bob).delete('c2')
    await of(bob).save({ key: 'c3', name: 'Eve', address: { street: null, city: null } })
    for (const id of ['c1', 'c2', 'c3']) await notes(bob).discard(id)
    expect(await notes(bob).pending()).toEqual([])
    expect(await syncAll(bob)).toMatchObject({ pushed: 0 })
    expect(await of(bob).find({ order: { key: 'ASC' } })).toMatchObject([
      { key: 'c1', name: 'Carol' },
      { key: 'c2', name: 'Dan' },
    ])
    await expect(notes(bob).discard('c1')).rejects.toThrow(NotInJournalError)
    await expect(notes(bob).discard('unknown')).rejects.toThrow(NotInJournalError)
    await expectDone()
  })

  test('a waiting conflict can be decided in the journal', async () => {
    await contest()
    expect(await syncAll(bob)).toMatchObject({ unapplied: 1, pushed: 0 })
    expect(await unappliedOf(notes(bob))).toMatchObject([
      { id: 'c1', reason: 'contested', local: { name: 'Bob’s' }, remote: { name: 'Alice’s' } },
    ])
    expect(await hasLocalChanges(bob)).toBe(true)
    await notes(bob).resolve('c1', { name: 'Ours' })
    expect(await unappliedOf(notes(bob))).toEqual([])
    await expect(notes(bob).resolve('c1', { name: 'Ours' })).rejects.toThrow(NotInJournalError)
    expect(await syncAll(bob)).toMatchObject({ pushed: 1, conflicts: 0 })
    await expectDone()
    expect(await of(alice).findOneByOrFail({ key: 'c1' })).toMatchObject({ name: 'Ours', email: 'c@example.org' })
  })

  test('a decision about one property keeps what either side changed in the others', async () => {
    await of(alice).update('c1', { name: 'Alice’s', email: 'new@example.org', address: { city: 'Bonn' } })
    await of(bob).update('c1', { name: 'Bob’s', age: 41 })
    await syncAll(alice)
    await syncAll(bob)
    expect(await notes(bob).conflicts()).toMatchObject([{ id: 'c1', properties: ['name'] }])
    await notes(bob).resolve('c1', { name: 'Ours' })
    const whole = { name: 'Ours', email: 'new@example.org', age: 41, address: { street: 'Main St', city: 'Bonn' } }
    expect(await of(bob).findOneByOrFail({ key: 'c1' })).toMatchObject(whole)
    await expectDone()
    expect(await of(alice).findOneByOrFail({ key: 'c1' })).toMatchObject(whole)
  })

  test('a conflict can be discarded, or resolved as a removal', async () => {
    await contest()
    await syncAll(bob)
    await notes(bob).discard('c1')
    expect(await unappliedOf(notes(bob))).toEqual([])
    expect(await hasLocalChanges(bob)).toBe(false)
    expect(await of(bob).findOneByOrFail({ key: 'c1' })).toMatchObject({ name: 'Alice’s' })
    await expectDone()
    await contest('Alice’s other')
    await syncAll(bob)
    await notes(bob).resolve('c1', null)
    expect(await syncAll(bob)).toMatchObject({ pushed: 1 })
    await expectDone()
    expect(await of(alice).findOneBy({ key: 'c1' })).toBeNull()
  })

  test.each([
    ['the remote side was taken', preferRemoteConflictHandler, undefined, 'Bob’s'],
    ['the local side was kept', preferLocalConflictHandler, undefined, 'Alice’s'],
    ['a third was made of both', resolveEach<Contact>(() => ({ name: 'Third' })), undefined, 'Alice’s'],
    ['the base is wanted', preferLocalConflictHandler, 'base', 'Carol'],
    ['the local side is wanted', resolveEach<Contact>(() => ({ name: 'Third' })), 'local', 'Bob’s'],
  ] as const)('a decision can be undone: %s', async (_, handler, side, name) => {
    await contest()
    await syncAll(bob, handler)
    const [decision] = await notes(bob).resolved()
    expect(decision).toMatchObject({ id: 'c1', base: { name: 'Carol' }, local: { name: 'Bob’s' }, remote: { name: 'Alice’s' } })
    await expectDone()
    await notes(bob).undo(decision?.resolutionId as number, side)
    expect(await of(bob).findOneByOrFail({ key: 'c1' })).toMatchObject({ name })
    expect(await syncAll(bob)).toMatchObject({ pushed: 1, conflicts: 0 })
    await expectDone()
    expect(await notes(bob).resolved()).toEqual([])
  })

  test('a removal that was decided can be undone, and not once the row has moved on', async () => {
    await of(alice).delete('c1')
    await of(bob).update('c1', { name: 'Bob’s' })
    await syncAll(alice)
    expect(await syncAll(bob, preferRemoteConflictHandler)).toMatchObject({ conflicts: 1 })
    expect(await of(bob).findOneBy({ key: 'c1' })).toBeNull()
    const [first] = await notes(bob).resolved()
    expect(first).toMatchObject({ local: { name: 'Bob’s' }, remote: null, decision: null })
    await notes(bob).undo(first?.resolutionId as number)
    await expectDone()
    expect(await of(alice).findOneByOrFail({ key: 'c1' })).toMatchObject({ name: 'Bob’s', address: { city: 'Berlin' } })
    await contest()
    await syncAll(bob, preferRemoteConflictHandler)
    const [second] = await notes(bob).resolved()
    await of(bob).update('c1', { name: 'Moved on' })
    await expect(notes(bob).undo(second?.resolutionId as number)).rejects.toThrow(NotInJournalError)
    await expect(notes(bob).undo(999)).rejects.toThrow(NotInJournalError)
    await notes(bob).pruneResolved({ olderThan: -1 })
    expect(await notes(bob).resolved()).toEqual([])
    await expectDone()
  })

  test('conflicts that a handler leaves alone come again, and those that it resolves do not', async () => {
    await of(alice).update('c2', { name: 'Alice’s Dan' })
    await of(bob).update('c2', { name: 'Bob’s Dan' })
    await contest()
    const calls: string[][] = []
    const half = (conflicts: Conflict[]) => {
      calls.push(conflicts.map(c => c.id))
      conflicts[0]?.takeRemote()
    }
    expect(await syncAll(bob, half)).toMatchObject({ conflicts: 2, unapplied: 1 })
    expect(await syncAll(bob, half)).toMatchObject({ conflicts: 1, unapplied: 0 })
    expect(calls).toEqual([['c1', 'c2'], ['c2']])
    await expectDone()
  })

  test('a decision about one of two properties is none about the other', async () => {
    await of(alice).update('c1', { name: 'Alice’s', email: 'alice@example.org' })
    await of(bob).update('c1', { name: 'Bob’s', email: 'bob@example.org' })
    await syncAll(alice)
    expect(
      await syncAll(bob, (conflicts: Conflict<Contact>[]) => {
        expect(conflicts[0]?.properties).toEqual(['name', 'email'])
        for (const { local, remote } of conflicts) if (local && remote) local.name = remote.name
      }),
    ).toMatchObject({ conflicts: 1, unapplied: 1 })
    await syncAll(bob, (conflicts: Conflict<Contact>[]) => {
      for (const { local, remote } of conflicts) if (local && remote) Object.assign(local, { name: remote.name, email: 'both@example.org' })
    })
    await expectDone()
    expect(await of(alice).findOneByOrFail({ key: 'c1' })).toMatchObject({ name: 'Alice’s', email: 'both@example.org' })
  })

  test.each([
    ['by id', 'id'],
    ['by the name of its key', 'key'],
  ])('a handler names the row %s', async (_, key) => {
    await contest()
    await syncAll(bob, (conflicts, updatesToPush) => {
      for (const c of conflicts) updatesToPush.push({ [key]: c.id, name: 'Named' } as never)
    })
    await expectDone()
    expect(await of(alice).findOneByOrFail({ key: 'c1' })).toMatchObject({ name: 'Named', email: 'c@example.org' })
  })

  test.each([
    ['calls back later', (resolve: () => void, callback: () => void) => void setTimeout(() => [resolve(), callback()], 5)],
    [
      'calls back twice',
      (resolve: () => void, callback: () => void) => {
        resolve()
        callback()
        callback()
      },
    ],
    ['returns a promise', (resolve: () => void) => new Promise(resolve => setTimeout(resolve, 5)).then(resolve)],
  ])('a handler that %s resolves the conflict', async (_, answer) => {
    await contest()
    await syncAll(bob, (conflicts, updatesToPush, callback) =>
      answer(() => updatesToPush.push(...conflicts.map(({ id }) => ({ id, name: 'Later' }))), callback),
    )
    await expectDone()
    expect(await of(alice).findOneByOrFail({ key: 'c1' })).toMatchObject({ name: 'Later' })
  })

  test.each([
    [
      'throws',
      () => {
        throw new Error('no idea')
      },
      'no idea',
    ],
    [
      'throws something odd',
      () => {
        throw null
      },
      'null',
    ],
    ['rejects', () => Promise.reject(new Error('no idea')), 'no idea'],
    ['decides a text for a number', resolveEach<Contact>(() => ({ age: 'old' as never })), 'age'],
    ['decides null for a name', resolveEach<Contact>(() => ({ name: null as never })), 'name'],
  ])('a handler that %s leaves everything as it was', async (_, handler, message) => {
    await contest()
    await of(bob).save({ key: 'c3', name: 'Eve', address: { street: null, city: null } })
    const error = await syncAll(bob, handler).catch(e => e)
    expect(error).toBeInstanceOf(ConflictHandlerError)
    expect(error.message).toContain(message)
    expect(await unappliedOf(notes(bob))).toMatchObject([{ id: 'c1', reason: 'contested' }])
    expect(await syncAll(bob)).toMatchObject({ pushed: 1, unapplied: 1 })
    await syncAll(bob, preferRemoteConflictHandler)
    await expectDone()
  })

  test('a handler that never answers is abandoned after its time, or when the caller aborts', async () => {
    await contest()
    const never = () => new Promise<void>(() => {})
    await expect(syncAll(bob, never, { handlerTimeout: 20 })).rejects.toThrow(ConflictHandlerError)
    const controller = new AbortController()
    const reason = new Error('closed')
    await expect(
      syncAll(
        bob,
        (_conflicts, _updates, callback) => {
          controller.abort(reason)
          void callback
        },
        { signal: controller.signal },
      ),
    ).rejects.toBe(reason)
    let late = () => {}
    await expect(
      syncAll(
        bob,
        (conflicts, updates, callback) => {
          late = () => {
            updates.push({ id: conflicts[0]?.id ?? '', name: 'Too late' })
            callback()
          }
        },
        { handlerTimeout: 20 },
      ),
    ).rejects.toThrow(ConflictHandlerError)
    late()
    expect(await unappliedOf(notes(bob))).toHaveLength(1)
    await syncAll(bob, preferLocalConflictHandler)
    await expectDone()
    expect(await of(alice).findOneByOrFail({ key: 'c1' })).toMatchObject({ name: 'Bob’s' })
  })

  test('a decision about a row that changed meanwhile does not count', async () => {
    await contest()
    let calls = 0
    await syncAll(bob, async conflicts => {
      calls++
      if (calls === 1) await of(bob).update('c1', { name: 'Typed meanwhile' })
      for (const c of conflicts) c.takeRemote()
    })
    expect((await of(bob).findOneByOrFail({ key: 'c1' })).name).toBe(calls === 1 ? 'Typed meanwhile' : 'Alice’s')
    await syncAll(bob, preferLocalConflictHandler)
    await expectDone()
  })

  test('embedded columns and relations are decided by their paths', async () => {
    await of(alice).update('c1', { address: { city: 'Paris' }, boss: { key: 'c2' } })
    await of(alice).save({ key: 'c5', name: 'Boss', address: { street: null, city: null } })
    await syncAll(alice)
    await of(bob).save({ key: 'c6', name: 'Other boss', address: { street: null, city: null } })
    await of(bob).update('c1', { address: { city: 'Rome', street: 'Via Appia' }, boss: { key: 'c6' } })
    await syncAll(bob, (conflicts: Conflict<Contact>[]) => {
      const [{ local, remote, base, properties } = {} as Conflict<Contact>] = conflicts
      expect([...(properties ?? [])].sort()).toEqual(['address.city', 'boss'])
      expect([local?.address.city, remote?.address.city, base?.address.city]).toEqual(['Rome', 'Paris', 'Berlin'])
      expect([local?.boss?.key, remote?.boss?.key, base?.boss]).toEqual(['c6', 'c2', null])
      const paths = [local, remote] as unknown as [Record<string, unknown>, Record<string, unknown>]
      paths[0]['address.city'] = paths[1]['address.city']
      if (local && remote) local.boss = remote.boss
    })
    await expectDone()
    expect(await of(alice).findOne({ where: { key: 'c1' }, relations: { boss: true } })).toMatchObject({
      ...{ address: { city: 'Paris', street: 'Via Appia' }, boss: { key: 'c2' } },
    })
  })

  test('an update to push may nest or name a path', async () => {
    await of(alice).update('c1', { address: { city: 'Paris' } })
    await of(alice).update('c2', { address: { city: 'Paris' } })
    await of(bob).update('c1', { address: { city: 'Rome' } })
    await of(bob).update('c2', { address: { city: 'Rome' } })
    await syncAll(alice)
    await syncAll(bob, (_, updates) => updates.push({ id: 'c1', address: { city: 'Oslo' } }, { id: 'c2', 'address.city': 'Bern' }))
    await expectDone()
    expect(await of(alice).find({ order: { key: 'ASC' } })).toMatchObject([
      { address: { city: 'Oslo', street: 'Main St' } },
      { address: { city: 'Bern' } },
    ])
  })

  test('the newest wins, by the date that TypeORM keeps or by a property that is named', async () => {
    await contest()
    await bob.query(`UPDATE contact SET "updatedAt" = '2050-01-01 00:00:00.000' WHERE id = 'c1'`)
    await syncAll(bob, preferNewestConflictHandler)
    await expectDone()
    expect(await of(alice).findOneByOrFail({ key: 'c1' })).toMatchObject({ name: 'Bob’s' })
    await of(alice).update('c2', { name: 'Alice’s', age: 31 })
    await of(bob).update('c2', { name: 'Bob’s', age: 30 })
    await syncAll(alice)
    await syncAll(bob, preferNewest('age'))
    await expectDone()
    expect(await of(alice).findOneByOrFail({ key: 'c2' })).toMatchObject({ name: 'Alice’s', age: 31 })
  })

  test('what TypeORM changes by itself is no conflict', async () => {
    const [hers, his] = [await of(alice).findOneByOrFail({ key: 'c1' }), await of(bob).findOneByOrFail({ key: 'c1' })]
    await of(alice).save({ ...hers, email: 'new@example.org' })
    await of(bob).save({ ...his, age: 41 })
    await of(bob).save({ ...(await of(bob).findOneByOrFail({ key: 'c1' })), age: 42 })
    await syncAll(alice)
    expect(await syncAll(bob)).toMatchObject({ merged: 1, conflicts: 0, unapplied: 0 })
    await expectDone()
    expect(await of(alice).findOneByOrFail({ key: 'c1' })).toMatchObject({ email: 'new@example.org', age: 42, version: 3 })
  })

  test('a soft removal travels as a date, and is restored the same way', async () => {
    await of(alice).softDelete('c1')
    await syncAll(alice)
    await syncAll(bob)
    expect(await of(bob).findOneBy({ key: 'c1' })).toBeNull()
    expect(await of(bob).findOne({ where: { key: 'c1' }, withDeleted: true })).toMatchObject({ deletedAt: expect.any(Date) })
    await of(bob).restore('c1')
    await expectDone()
    expect(await of(alice).findOneBy({ key: 'c1' })).toMatchObject({ name: 'Carol' })
  })

  test('to a server that is forgotten and met again nothing is pushed that it has', async () => {
    const [{ url } = { url: '' }] = await notes(bob).servers()
    expect(url).toBe(`${server.url}/contactChanges`)
    await of(bob).update('c2', { name: 'Daniel' })
    await notes(bob).forget(url)
    expect(await notes(bob).servers()).toEqual([])
    expect(await notes(bob).pending()).toEqual([])
    expect(await of(bob).count()).toBe(2)
    // nothing is agreed any more: what differs is asked about
    expect(await syncAll(bob, preferLocalConflictHandler)).toMatchObject({ conflicts: 1, pushed: 1 })
    await expectDone()
    expect(await of(alice).findOneByOrFail({ key: 'c2' })).toMatchObject({ name: 'Daniel' })
  })
})

describe('a server with rules of its own', () => {
  beforeEach(() => openWorld(contacts({ unique: true, adults: true })))
  afterEach(closeWorld)

  test('what it rejects is set aside with the reason, the others go on', async () => {
    await of(alice).save({ key: 'c1', name: 'Carol', address: { street: null, city: null } })
    await syncAll(alice)
    await of(bob).save([
      { key: 'c2', name: 'Carol', address: { street: null, city: null } },
      { key: 'c3', name: 'Tim', age: 7, address: { street: null, city: null } },
      { key: 'c4', name: 'Fine', address: { street: null, city: null } },
    ])
    expect(await syncAll(bob)).toMatchObject({ pulled: 1, pushed: 1, rejected: 2 })
    expect(await notes(bob).rejected()).toMatchObject([
      { id: 'c2', code: 'not-unique', property: 'name', local: { name: 'Carol' } },
      { id: 'c3', code: 'not-valid', local: { name: 'Tim' } },
    ])
    expect(await notes(bob).pending()).toEqual([])
    expect(await notes(bob).pendingCount()).toBe(0)
    expect(await hasLocalChanges(bob)).toBe(true)
    // at rest: nothing is pushed again by itself
    expect(await syncAll(bob)).toMatchObject({ pushed: 0, rejected: 2, requests: 1 })
    // pushed again when wanted, and rejected again
    await notes(bob).retry('c2')
    expect(await notes(bob).pending()).toMatchObject([{ id: 'c2' }])
    expect(await syncAll(bob)).toMatchObject({ pushed: 0, rejected: 2 })
    await expect(notes(bob).retry('c4')).rejects.toThrow(NotInJournalError)
    // pushed when changed
    await of(bob).update('c2', { name: 'Carola' })
    expect(await notes(bob).rejected()).toMatchObject([{ id: 'c3' }])
    expect(await syncAll(bob)).toMatchObject({ pushed: 1, rejected: 1 })
    await notes(bob).discard('c3')
    expect(await of(bob).findOneBy({ key: 'c3' })).toBeNull()
    await expectDone()
  })

  test('a rejected row that waits can be retried while a handler is asked about it, whose decision counts', async () => {
    await of(alice).save({ key: 'c1', name: 'Carol', age: 20, address: { street: null, city: null } })
    await applyDecided([alice, bob])
    await of(bob).update('c1', { age: 3 })
    expect(await syncAll(bob)).toMatchObject({ rejected: 1 })
    await of(alice).update('c1', { age: 30 })
    await syncAll(alice)
    expect(await syncAll(bob)).toMatchObject({ unapplied: 1 })
    await syncAll(bob, async conflicts => {
      await notes(bob).retry('c1')
      for (const conflict of conflicts) conflict.takeRemote()
    })
    expect(await unappliedOf(notes(bob))).toEqual([])
    expect(await of(bob).findOneByOrFail({ key: 'c1' })).toMatchObject({ age: 30 })
    await expectDone()
  })

  test('a rejected change of a row that the server has can be discarded, and another’s change of it is applied', async () => {
    await of(alice).save({ key: 'c1', name: 'Carol', age: 20, address: { street: null, city: null } })
    await applyDecided([alice, bob])
    await of(bob).update('c1', { age: 3 })
    expect(await syncAll(bob)).toMatchObject({ rejected: 1 })
    await of(alice).update('c1', { email: 'c@example.org' })
    await syncAll(alice)
    expect(await syncAll(bob)).toMatchObject({ conflicts: 0 })
    expect(await of(bob).findOneByOrFail({ key: 'c1' })).toMatchObject({ age: 3, email: 'c@example.org' })
    expect(await notes(bob).rejected()).toMatchObject([{ id: 'c1', code: 'not-valid' }])
    await notes(bob).discard('c1')
    expect(await of(bob).findOneByOrFail({ key: 'c1' })).toMatchObject({ age: 20, email: 'c@example.org' })
    await expectDone()
  })
})
