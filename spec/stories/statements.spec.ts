// However many rows there are, they need the same statements: nothing is done row by row, on either side of the wire.

import { describe, expect, test } from '@jest/globals'
import { type DataSource, EntitySchema } from 'typeorm'
import { type ConflictHandler, enableSync, journal, preferLocalConflictHandler, preferRemoteConflictHandler, syncAll } from 'typeorm-sync'
import { type Kind, openOn, SERVERS, serve, sql } from '../support/eachDatabase.js'
import { unappliedOf } from '../support/unapplied.js'

const text = { type: 'varchar' } as const
const cascading = (name: string, target: string, onDelete: 'CASCADE' | 'SET NULL') =>
  new EntitySchema<any>({
    ...{ name, tableName: name.toLowerCase() },
    columns: { id: { ...text, primary: true }, name: text, other: { ...text, nullable: true } },
    relations: { parent: { type: 'many-to-one', target, nullable: true, onDelete } },
  })
const Root = new EntitySchema<any>({
  ...{ name: 'Root', tableName: 'root' },
  columns: { id: { ...text, primary: true }, name: text, other: { ...text, nullable: true } },
})
const Twig = cascading('Twig', 'Twig', 'CASCADE')
const Child = cascading('Child', 'Root', 'CASCADE')
const Friend = cascading('Friend', 'Root', 'SET NULL')
const entities = [Root, Child, Friend, Twig]
for (const entity of entities) enableSync(entity, `/${entity.options.tableName}s`)

/** How a history begins, what happens at once, and where: on the device or on the server. */
interface Path {
  readonly before?: (of: DataSource, n: number) => Promise<void>
  readonly happens: (of: DataSource, n: number) => Promise<void>
}

const id = (i: number) => `r${String(i).padStart(4, '0')}`
const fill = async (of: DataSource, table: string, n: number, parentOf?: (i: number) => string | null) => {
  for (let i = 0; i < n; i++)
    await sql(of, `INSERT INTO "${table}" (id, name${parentOf ? ', "parentId"' : ''}) VALUES (?, ?${parentOf ? ', ?' : ''})`, [
      id(i),
      'name',
      ...(parentOf ? [parentOf(i)] : []),
    ])
}
const run = (statement: string) => async (of: DataSource) => void (await sql(of, statement))

const PATHS: Record<string, Path> = {
  'new rows': { happens: (of, n) => fill(of, 'root', n) },
  'new rows in a tree': { happens: (of, n) => fill(of, 'twig', n, i => (i ? id((i - 1) >> 1) : null)) },
  'changed rows': { before: (of, n) => fill(of, 'root', n), happens: run(`UPDATE root SET name = 'changed'`) },
  'changed rows with a parent': {
    async before(of, n) {
      await fill(of, 'root', 1)
      await fill(of, 'child', n, () => id(0))
    },
    happens: run(`UPDATE child SET name = 'changed'`),
  },
  'removed rows': { before: (of, n) => fill(of, 'root', n), happens: run('DELETE FROM root') },
  'a removal with children': {
    async before(of, n) {
      await fill(of, 'root', 1)
      await fill(of, 'child', n, () => id(0))
    },
    happens: run('DELETE FROM root'),
  },
  'removals with a child each': {
    async before(of, n) {
      await fill(of, 'root', n)
      await fill(of, 'child', n, id)
    },
    happens: run('DELETE FROM root'),
  },
  'a removal that leaves rows behind': {
    async before(of, n) {
      await fill(of, 'root', 1)
      await fill(of, 'friend', n, () => id(0))
    },
    happens: run('DELETE FROM root'),
  },
  'removals that leave a row behind each': {
    async before(of, n) {
      await fill(of, 'root', n)
      await fill(of, 'friend', n, id)
    },
    happens: run('DELETE FROM root'),
  },
  'rows that leave a parent each': {
    async before(of, n) {
      await fill(of, 'root', n)
      await fill(of, 'friend', n, id)
    },
    happens: run('UPDATE friend SET "parentId" = NULL'),
  },
  'the removal of a tree': {
    before: (of, n) => fill(of, 'twig', n, i => (i ? id((i - 1) >> 1) : null)),
    happens: run(`DELETE FROM twig WHERE id = '${id(0)}'`),
  },
}

describe.each(SERVERS as Kind[])('with a server on %s', kind => {
  test.each(Object.entries(PATHS))('%s', async (_, { before, happens }) => {
    const counts: number[][] = []
    for (const n of [12, 48]) {
      let count = 0
      const seen: string[] = []
      const beforeStatement = (statement: string) => {
        count++
        seen.push(statement)
      }
      const there = await openOn(kind, entities, { beforeStatement })
      const { url } = await serve(there)
      const alice = await openOn('sqljs', entities, { server: url, beforeStatement })
      const bob = await openOn('sqljs', entities, { server: url, beforeStatement })
      await before?.(alice, n)
      for (const device of [alice, bob, alice]) await syncAll(device)
      const counted = async (work: () => Promise<unknown>) => {
        count = 0
        seen.length = 0
        await work()
        if (process.env.SHOW)
          console.log(
            n,
            count,
            [...seen.reduce((m, s) => m.set(s, (m.get(s) ?? 0) + 1), new Map<string, number>())].filter(([, c]) => c > 8),
          )
        return count
      }
      await happens(alice, n)
      counts.push([await counted(() => syncAll(alice)), await counted(() => syncAll(bob))])
      expect(await syncAll(alice)).toMatchObject({ unapplied: 0, rejected: 0 })
      expect(await syncAll(bob)).toMatchObject({ unapplied: 0, rejected: 0 })
    }
    // 36 rows more
    const [few = [], many = []] = counts
    for (const [i, side] of ['push', 'pull'].entries()) {
      const [x, y] = [few[i] as number, many[i] as number]
      expect({ side, x, y, grows: y - x > 17 }).toEqual({ side, x, y, grows: false })
    }
  })
})

describe.each(['sqljs', ...SERVERS] as Kind[])('what waits on %s', kind => {
  test.each([
    ['edited', `UPDATE root SET name = 'Alice’s'`, `UPDATE root SET name = 'Bob’s'`],
    ['removed there', 'DELETE FROM root', `UPDATE child SET name = 'Bob’s'`],
    ['cleared there', 'UPDATE friend SET "parentId" = NULL', `UPDATE friend SET name = 'Bob’s', "parentId" = 'r0000'`],
  ])(
    'rows that were %s are read by the journal, and for the handler, with the same statements however many they are',
    async (_, remote, ours) => {
      const counts: number[][] = []
      for (const n of [12, 48]) {
        let count = 0
        const beforeStatement = () => void count++
        const there = await openOn('libsql', entities)
        const { url } = await serve(there)
        const alice = await openOn('sqljs', entities, { server: url })
        const bob = await openOn(kind, entities, { server: url, beforeStatement })
        await fill(alice, 'root', n)
        await fill(alice, 'child', n, id)
        await fill(alice, 'friend', n, i => id(i || 1))
        for (const device of [alice, bob]) await syncAll(device)
        await sql(alice, remote)
        await sql(bob, ours)
        await syncAll(alice)
        await syncAll(bob)
        const counted = async (work: () => Promise<unknown>) => {
          const before = count
          await work()
          return count - before
        }
        const rows = await Promise.all([Root, Friend].map(entity => unappliedOf(journal(bob.getRepository<any>(entity)))))
        expect(rows.flat().length).toBeGreaterThanOrEqual(n - 1)
        counts.push([
          await counted(() => Promise.all([Root, Friend].map(entity => unappliedOf(journal(bob.getRepository<any>(entity)))))),
          await counted(() => syncAll(bob, () => {})),
        ])
      }
      const [few = [], many = []] = counts
      expect(many.map((y, i) => y - (few[i] as number) > 12)).toEqual([false, false])
    },
  )
})

/** Two devices of a server, and the statements of one sync of Bob's. */
async function pair(kind: Kind) {
  let count = 0
  const { url } = await serve(await openOn('libsql', entities))
  const alice = await openOn('sqljs', entities, { server: url })
  const bob = await openOn(kind, entities, { server: url, beforeStatement: () => void count++ })
  const syncBob = async (handler: ConflictHandler) => {
    count = 0
    const report = await syncAll(bob, handler)
    return { report, statements: count }
  }
  return { alice, bob, syncBob }
}

describe.each(['sqljs', ...SERVERS] as Kind[])('what a decision takes along on %s', kind => {
  test.each([
    ['goes', Child],
    ['stays', Friend],
  ])('all that %s with a removal is stored with the same statements however many rows there are', async (_, entity) => {
    const counts: number[] = []
    const table = entity.options.tableName as string
    for (const n of [12, 48]) {
      const { alice, bob, syncBob } = await pair(kind)
      await fill(alice, 'root', 1)
      for (const device of [alice, bob]) await syncAll(device)
      await sql(alice, 'DELETE FROM root')
      await sql(bob, `UPDATE root SET name = 'Bob’s'`)
      await fill(bob, table, n, () => id(0))
      await syncAll(alice)
      const { report, statements } = await syncBob(preferRemoteConflictHandler)
      expect(report).toMatchObject({ unapplied: 0 })
      counts.push(statements)
      expect(await bob.getRepository(Root).count()).toBe(0)
    }
    const [few = 0, many = 0] = counts
    expect({ few, many, grows: many - few > 12 }).toEqual({ few, many, grows: false })
  })
})

describe.each(['sqljs', ...SERVERS] as Kind[])('what a handler decides on %s', kind => {
  test.each([
    ['rows that were edited on both sides', Root, run(`UPDATE root SET name = 'Alice’s'`), run(`UPDATE root SET name = 'Bob’s'`)],
    ['rows that need others', Child, run(`UPDATE child SET name = 'Alice’s'`), run(`UPDATE child SET name = 'Bob’s'`)],
    ['rows without children that were removed there', Child, run('DELETE FROM child'), run(`UPDATE child SET name = 'Bob’s'`)],
    ['rows that were removed here', Root, run(`UPDATE root SET name = 'Alice’s'`), run('DELETE FROM root')],
  ])('about %s is stored with the same statements however many there are', async (_, entity, theirs, ours) => {
    for (const handler of [preferLocalConflictHandler, preferRemoteConflictHandler]) {
      const counts: number[] = []
      for (const n of [12, 48]) {
        const { alice, bob, syncBob } = await pair(kind)
        await fill(alice, 'root', n)
        if (entity === Child) await fill(alice, 'child', n, id)
        for (const device of [alice, bob]) await syncAll(device)
        await theirs(alice)
        await ours(bob)
        await syncAll(alice)
        const { report, statements } = await syncBob(handler)
        expect(report).toMatchObject({ conflicts: n, unapplied: 0 })
        counts.push(statements)
      }
      const [few = 0, many = 0] = counts
      expect({ handler: handler.name, few, many, grows: many - few > 12 }).toEqual({ handler: handler.name, few, many, grows: false })
    }
  })
})

// What an application does all day. A count that goes down is written down here; one that goes up has to be worth it.
test('a sync with little to do needs few statements of the device, and reads its status once', async () => {
  const there = await openOn('libsql', entities)
  const { url } = await serve(there)
  let statements: string[] = []
  const alice = await openOn('libsql', [Root], { server: url, beforeStatement: statement => void statements.push(statement) })
  await fill(there, 'root', 12)
  const update = (of: DataSource, i: number) => sql(of, `UPDATE root SET name = 'changed' WHERE id = ?`, [id(i)])
  // its cursors have come as far as they go, and its triggers were seen
  await syncAll(alice)
  await update(alice, 0)
  for (let i = 0; i < 3; i++) await syncAll(alice)
  const counted = async (happens: () => Promise<unknown>) => {
    await happens()
    statements = []
    await syncAll(alice)
    return { statements: statements.length, steps: statements.filter(each => /^BEGIN/.test(each)).length }
  }
  const nothing = await counted(async () => {})
  const pulled = await counted(() => update(there, 1))
  const pushed = await counted(() => update(alice, 2))
  await syncAll(alice)
  const merged = await counted(async () => {
    await update(there, 3)
    await sql(alice, `UPDATE root SET other = 'changed' WHERE id = ?`, [id(3)])
  })
  expect({ nothing, pulled, pushed, merged }).toEqual({
    nothing: { statements: 9, steps: 1 },
    pulled: { statements: 31, steps: 2 },
    pushed: { statements: 43, steps: 3 },
    merged: { statements: 74, steps: 4 },
  })
  expect(await sql(there, 'SELECT name, other FROM root WHERE id = ?', [id(3)])).toEqual([{ name: 'changed', other: 'changed' }])
})

test('what is pushed in several requests is read once', async () => {
  const there = await openOn('libsql', entities)
  const { url } = await serve(there)
  let reads = 0
  const beforeStatement = (statement: string) => {
    if (/^SELECT x."id" AS id, .* FROM "root" x WHERE \(x."_lastChange"/.test(statement)) reads++
  }
  const alice = await openOn('libsql', entities, { server: url, beforeStatement })
  await syncAll(alice)
  await alice.getRepository(Root).insert(Array.from({ length: 2_500 }, (_, i) => ({ id: id(i), name: 'new' })))
  reads = 0
  const { requests, pushed } = await syncAll(alice)
  expect({ pushed, requests, reads }).toEqual({ pushed: 2_500, requests, reads: requests - 1 })
  expect(requests).toBeGreaterThan(2)
})
