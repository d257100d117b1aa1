// Whatever state a database accepts is reached from any other at once, in whatever order the changes come; and what it rejects stops
// no other row. ORDER_RUNS sets how many random states are tried on each kind of database.

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { type DataSource, EntitySchema } from 'typeorm'
import { enableSync } from 'typeorm-sync'
import type { ChangeLog } from '../../../src/changes/changeLog.js'
import type { Collection } from '../../../src/changes/collections/collection.js'
import { NEVER, readVersions } from '../../../src/changes/rows/rows.js'
import type { Change } from '../../../src/changes/store/change.js'
import { componentsOf, levelsOf } from '../../../src/changes/store/graph.js'
import { planChanges } from '../../../src/changes/store/order.js'
import { storeAcceptable } from '../../../src/changes/store/storeAcceptable.js'
import { storeChanges } from '../../../src/changes/store/storeChanges.js'
import { query, quote, type Transaction } from '../../../src/databases/database.js'
import { changeLogOf } from '../../../src/entity/registry.js'
import type { WireRow } from '../../../src/protocol/messages.js'
import { type Kind, keepOpen, openOn, SERVERS } from '../../support/eachDatabase.js'

const RUNS = Number(process.env.ORDER_RUNS ?? 40)

const id = { type: 'varchar', length: 36, primary: true } as const

// several unique indexes, composite ones, narrow types, a rule, rows that need each other
const Seat = new EntitySchema<any>({
  ...{ name: 'Seat', tableName: 'seat' },
  columns: {
    id,
    place: { type: 'smallint', unique: true },
    code: { type: 'varchar', length: 3, unique: true },
    tag: { type: 'varchar', length: 20, nullable: true, unique: true },
    line: { type: 'int' },
    number: { type: 'int' },
    day: { type: 'date', unique: true },
    price: { type: 'decimal', precision: 6, scale: 2, unique: true },
  },
  relations: {
    behind: { type: 'many-to-one', target: 'Seat', nullable: true },
    partner: { type: 'one-to-one', target: 'Seat', nullable: true, joinColumn: true },
  },
  uniques: [{ columns: ['line', 'number'] }],
  checks: [{ name: 'positive', expression: 'place >= 0' }],
})
const Team = new EntitySchema<any>({
  ...{ name: 'Team', tableName: 'team' },
  columns: { id, name: { type: 'varchar', length: 10, unique: true } },
  relations: { captain: { type: 'one-to-one', target: 'Player', nullable: true, joinColumn: true } },
})
const Player = new EntitySchema<any>({
  ...{ name: 'Player', tableName: 'player' },
  columns: { id, number: { type: 'smallint' } },
  relations: { team: { type: 'many-to-one', target: 'Team', nullable: false } },
  uniques: [{ columns: ['team', 'number'] }],
})
for (const entity of [Seat, Team, Player]) enableSync(entity, `/${entity.options.tableName}s`)

type State = Map<string, Map<string, WireRow>>

const IDS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
const shuffled = fc.shuffledSubarray(IDS)
const places = <T>(all: readonly T[]) => fc.shuffledSubarray([...all], { minLength: IDS.length, maxLength: IDS.length })
const few = [0, 1, 2, 3, 4, 5, 6, 7, 8]

const seats = fc
  .record({
    ids: shuffled,
    place: places(few),
    code: places(few),
    tag: places([...few, null, null, null, null]),
    spot: places(few),
    day: places(few),
    price: places(few),
    behind: places([...IDS, null, null]),
    partner: places([...IDS, null, null]),
  })
  .map(({ ids, place, code, tag, spot, day, price, behind, partner }) => {
    const rows = new Map<string, WireRow>()
    const there = (i: string | null | undefined) => (i && ids.includes(i) ? i : null)
    for (const [i, key] of ids.entries())
      rows.set(key, {
        place: place[i] as number,
        code: `c${code[i]}`,
        tag: tag[i] === null ? null : `t${tag[i]}`,
        line: Math.floor((spot[i] as number) / 3),
        number: (spot[i] as number) % 3,
        day: `2026-01-0${(day[i] as number) + 1}`,
        price: `${price[i]}.50`,
        behind: there(behind[i]),
        partner: there(partner[i]),
      })
    return rows
  })

const teams = fc
  .record({
    ids: shuffled,
    name: places(few),
    players: shuffled,
    of: fc.array(fc.nat(7), { minLength: 8, maxLength: 8 }),
    captain: places([...IDS, null, null]),
  })
  .map(({ ids, name, players, of, captain }) => {
    const there = ids.length ? players : []
    return {
      team: new Map(
        ids.map((key, i) => [key, { name: `n${name[i]}`, captain: there.includes(captain[i] ?? '') ? (captain[i] as string) : null }]),
      ),
      player: new Map(there.map((key, i) => [key, { number: i % 5, team: ids[(of[i] as number) % ids.length] as string }])),
    }
  })
  .map(({ team, player }) => {
    // a number belongs to one player of a team
    const numbers = new Set<string>()
    for (const row of player.values())
      for (; numbers.has(`${row.team} ${row.number}`) || !numbers.add(`${row.team} ${row.number}`); ) row.number++
    return { team, player }
  })

const states = fc
  .record({ seat: seats, both: teams })
  .map(({ seat, both }): State => new Map<string, Map<string, WireRow>>([['seat', seat], ...Object.entries(both)]))

const collectionOf = ({ collections }: ChangeLog, name: string) => collections.find(c => c.name === name) as Collection

/** The changes that lead from what is there to another state, in whatever order. */
function* changesTo(log: ChangeLog, state: State, order: (changes: Change[]) => Change[], whole: boolean): Transaction<Change[]> {
  const stamp = yield* log.database.tick()
  const changes: Change[] = []
  for (const [name, rows] of state) {
    const collection = collectionOf(log, name)
    const versions = yield* readVersions(log.database, collection, IDS)
    for (const key of IDS) {
      const old = versions.get(key) ?? NEVER
      const row = rows.get(key)
      if (!row && old.value === null) continue
      const value = !row
        ? null
        : old.value && !whole
          ? Object.fromEntries(Object.entries(row).filter(([p, v]) => JSON.stringify(v) !== JSON.stringify(old.value?.[p])))
          : row
      changes.push({ collection, id: key, old, value, stamp })
    }
  }
  return order(changes)
}

function* read(log: ChangeLog): Transaction<State> {
  const state: State = new Map()
  for (const name of ['seat', 'team', 'player']) {
    const versions = yield* readVersions(log.database, collectionOf(log, name), IDS)
    state.set(name, new Map([...versions].flatMap(([key, { value }]) => (value ? [[key, value] as const] : []))))
  }
  return state
}

const canonical = (log: ChangeLog, state: State) =>
  [...state].flatMap(([name, rows]) =>
    [...rows]
      .map(([key, row]) => [name, key, ...collectionOf(log, name).columns.map(c => c.canonical(row[c.property] as never))].join(' '))
      .sort(),
  )

describe.each(['sqljs', ...SERVERS] as Kind[])('on %s', kind => {
  let dataSource: DataSource
  let log: ChangeLog
  beforeAll(async () => {
    dataSource = await keepOpen(openOn(kind, [Seat, Team, Player]))
    log = changeLogOf(dataSource)
    // TypeORM declares none there
    if (kind === 'mysql') await dataSource.query('ALTER TABLE seat ADD CONSTRAINT positive CHECK (place >= 0)')
  })
  afterAll(() => dataSource.destroy())

  test('any state is reached from any other', async () => {
    await fc.assert(
      fc.asyncProperty(states, fc.boolean(), fc.infiniteStream(fc.nat(1000)), async (state, whole, numbers) => {
        const stored = await log.database.transaction(function* () {
          const order = (changes: Change[]) =>
            changes
              .map(c => [numbers.next().value, c] as const)
              .sort(([x], [y]) => x - y)
              .map(([, c]) => c)
          yield* storeChanges(log, yield* changesTo(log, state, order, whole))
          return yield* read(log)
        })
        expect(canonical(log, stored)).toEqual(canonical(log, state))
      }),
      { numRuns: RUNS },
    )
  }, 600_000)

  test('a row that the database rejects is named, and those that do not need it are stored', async () => {
    await fc.assert(
      fc.asyncProperty(states, fc.nat(7), async (given, which) => {
        const seat = new Map(given.get('seat'))
        const state: State = new Map([...given, ['seat', seat]])
        const bad = [...seat.keys()][which % Math.max(1, seat.size)]
        if (bad === undefined) return
        seat.set(bad, { ...seat.get(bad), place: -1 })
        await log.database.transaction(function* () {
          const failed = new Map<Change, string>()
          const storing = (of: Map<Change, string>) => ({
            change: (change: Change) => change,
            store: (some: readonly Change[]) => storeChanges(log, some),
            // biome-ignore lint/correctness/useYield: it notes
            *fail(change: Change, error: Error) {
              of.set(change, (error as { kind?: string }).kind ?? 'value')
            },
          })
          yield* storeAcceptable(log.database, yield* changesTo(log, state, c => c, false), storing(failed))
          const named = [...failed].find(([c]) => c.id === bad && c.collection.name === 'seat')
          expect(named?.[1]).toBe('check')
          // the others want what it did not let go of: they can still not be stored, nor together
          const others = [...failed].filter(([change]) => change !== named?.[0])
          for (const [, why] of others) expect(['unique', 'foreign-key']).toContain(why)
          const again = new Map<Change, string>()
          yield* storeAcceptable(
            log.database,
            others.map(([change]) => change),
            storing(again),
          )
          expect(again.size).toBe(others.length)
          const stored = canonical(log, yield* read(log))
          const wanted = new Set(canonical(log, state))
          const lacking = [...wanted].filter(row => !stored.includes(row)).map(row => row.split(' ').slice(0, 2).join(' '))
          const names = [...failed.keys()].map(c => `${c.collection.name} ${c.id}`)
          expect(lacking.filter(name => !names.includes(name))).toEqual([])
        })
      }),
      { numRuns: Math.ceil(RUNS / 4) },
    )
  }, 600_000)

  test('a ring that is none to the database falls apart without its bad row', async () => {
    if (kind === 'mysql') return // there the letters are equal
    await log.database.transaction(function* () {
      const seat = (place: number, code: string, n: number): WireRow => ({
        ...{ place, code, tag: null, line: n, number: n, day: `2027-01-0${n}`, price: `${n}.00`, behind: null, partner: null },
      })
      const state = (x: WireRow, y: WireRow, z: WireRow): State =>
        new Map([
          [
            'seat',
            new Map([
              ['a', x],
              ['b', y],
              ['c', z],
            ]),
          ],
          ['team', new Map()],
          ['player', new Map()],
        ])
      yield* storeChanges(log, yield* changesTo(log, state(seat(1, 'a', 1), seat(2, 'B', 2), seat(3, 'c', 3)), c => c, true))
      const failed: string[] = []
      yield* storeAcceptable(
        log.database,
        yield* changesTo(log, state(seat(-1, 'b', 1), seat(3, 'A', 2), seat(2, 'c', 3)), c => c, false),
        {
          change: change => change,
          store: some => storeChanges(log, some),
          // biome-ignore lint/correctness/useYield: it notes
          *fail({ id: key }) {
            failed.push(key)
          },
        },
      )
      expect(failed).toEqual(['a'])
    })
  })

  test('a chain of unique values needs a few statements, however long it is', async () => {
    const counts: number[] = []
    for (const length of [200, 800]) {
      await log.database.transaction(function* () {
        const collection = collectionOf(log, 'team')
        yield* query(`UPDATE ${quote('team')} SET ${quote('captainId')} = NULL`)
        for (const table of ['player', 'team']) yield* query(`DELETE FROM ${quote(table)}`)
        const stamp = yield* log.database.tick()
        const all = Array.from({ length }, (_, i) => `${i}`)
        const of = (name: (i: number) => string, old: (i: number) => WireRow | null): Change[] =>
          all.map((key, i) => ({
            collection,
            id: key,
            stamp,
            old: { value: old(i), stamp: old(i) ? stamp : 0 },
            value: { name: name(i), captain: null },
          }))
        yield* storeChanges(
          log,
          of(
            i => `n${i}`,
            () => null,
          ),
        )
        let statements = 0
        const body = storeChanges(
          log,
          of(
            i => `n${i + 1}`,
            i => ({ name: `n${i}`, captain: null }),
          ),
        )
        for (let next = body.next(); !next.done; statements++) {
          let rows: unknown
          try {
            rows = yield next.value
          } catch (error) {
            next = body.throw(error)
            continue
          }
          next = body.next(rows as never)
        }
        counts.push(statements)
        const rows = yield* readVersions(log.database, collection, all)
        expect(all.every((key, i) => rows.get(key)?.value?.name === `n${i + 1}`)).toBe(true)
      })
    }
    expect(counts[1]).toBe(counts[0])
  })
})

test('components and levels of a long chain are found without recursion', () => {
  const size = 50_000
  const edges = Array.from({ length: size - 1 }, (_, i) => ({ from: i + 1, to: i }))
  expect(componentsOf(size, edges)).toHaveLength(size)
  expect(componentsOf(size, [...edges, { from: 0, to: size - 1 }])).toHaveLength(1)
  expect(Math.max(...levelsOf(size, edges, () => 1).level)).toBe(size - 1)
})

test('rows that have nothing to do with each other are stored at once', () => {
  expect(planChanges([], new Map())).toMatchObject({ releases: [], late: [], isDeferred: false })
})

test('rows that exchange one unique value let go of that one alone', () => {
  const column = (name: string) => ({ property: name, column: name, nullable: false })
  const columns = ['place', 'code'].map(column)
  const collection = {
    name: 'seat',
    table: { name: 'seat', key: 'id' },
    columns,
    column: new Map(columns.map(c => [c.property, c])),
    parents: [],
  }
  const [place, code] = columns.map(c => ({ columns: [c.column], others: [] }))
  const change = (id: string, before: number, after: number) => ({
    ...{ collection, id, stamp: 1 },
    ...{ old: { stamp: 1, value: { place: before, code: id } }, value: { place: after, code: id } },
  })
  const changes = [change('a', 1, 2), change('b', 2, 1)] as unknown as Change[]
  const { releases } = planChanges(changes, new Map([[collection, [place, code]]]) as never)
  expect(releases.map(r => [r.change.id, r.indexes])).toEqual([
    ['a', [place]],
    ['b', [place]],
  ])
})
