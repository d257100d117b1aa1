// What is done while things go wrong: every arrow of the walk of one changed row and every law (docs/how-it-works.md).

import { collectTombstones, forgetPushes, renewHistory } from '../../server/maintenance.js'
import { preferLocalConflictHandler, preferRemoteConflictHandler, resolveEach } from '../../src/sync/conflicts/handlers.js'
import { CASCADE, DOUBLED, PLAIN, RESTRICT, SET_NULL, SINGLE, WIDENED, Widen1700000000000 } from './entities.js'
import type { Process, ProcessOptions, Schema } from './process.js'
import { SCOPED_SCENARIOS } from './scopedScenarios.js'
import type { Kind, LocalKind } from './storage.js'
import { World } from './world.js'

export interface Scenario {
  readonly name: string
  readonly entities?: Schema['entities']
  readonly pageSize?: number
  readonly batchSize?: number
  readonly retries?: number
  /** Of the server: each device sees a part of the rows. */
  readonly rules?: ProcessOptions['rules']
  /** A relay: A syncs with R, R and B with S. */
  readonly isRelay?: boolean
  /** What was before. */
  prepare(world: World): Promise<void>
  /** What goes wrong at each of its moments, one by one. */
  act(world: World): Promise<void>
  /** What the application does afterwards, whatever went wrong. */
  mend?(world: World): Promise<void>
  /** How often all sync until everything is pushed; by default 2. */
  readonly rounds?: number
}

export const KINDS: Record<string, { device: LocalKind; server: Kind }> = {
  sqljs: { device: 'sqljs', server: 'wal' },
  libsql: { device: 'journal', server: 'sqljs' },
  autosave: { device: 'autosave', server: 'wal' },
  wal: { device: 'wal', server: 'journal' },
}

export async function worldOf(scenario: Scenario, kinds: { device: LocalKind; server: Kind }): Promise<World> {
  const { entities = SINGLE, pageSize, batchSize, retries, rules, isRelay } = scenario
  const world = new World()
  const options = (server?: string): ProcessOptions => ({ entities, server, pageSize, batchSize, retries, rules })
  world.add('S', kinds.server, options())
  if (entities === DOUBLED) world.add('T', kinds.server, options())
  if (isRelay) world.add('R', kinds.server, options('s'))
  world.add('A', kinds.device, options(isRelay ? 'r' : 's'))
  world.add('B', kinds.device, options('s'))
  for (const each of world.processes.values()) {
    each.schema = { entities, synchronize: true }
    await each.start()
    each.schema = { entities }
  }
  await scenario.prepare(world)
  if (world.problems.length) throw new Error(`${scenario.name} could not be prepared: ${world.problems}`)
  await world.keep()
  return world
}

const everybody = async (w: World, rounds = 2) => {
  for (let i = 0; i < rounds; i++) for (const each of w.devices) await w.sync(each)
}

/** How many rows a push to the feed has. */
const rowsIn = (body = '{"changes":{}}') => Object.values<object[]>(JSON.parse(body).changes).flat().length

/** A request of this kind is lost, before it is there or after it was answered. */
function lose(w: World, when: 'before' | 'after', lost: string): void {
  let isLost = false
  w.network[when] = (method, url) => {
    if (isLost || `${method} ${new URL(url).pathname}` !== lost) return
    isLost = true
    throw new TypeError('fetch failed')
  }
}

/** A server that rejects values which end so. */
const RULE = {
  sqlite: ['INSERT', 'UPDATE'].map(
    event =>
      `CREATE TRIGGER rule_${event} BEFORE ${event} ON item WHEN NEW.b LIKE '%!' BEGIN SELECT RAISE(ABORT, 'CHECK constraint failed: rule'); END`,
  ),
  postgres: [`ALTER TABLE item ADD CONSTRAINT rule CHECK (b NOT LIKE '%!')`],
  mysql: [`ALTER TABLE item ADD CONSTRAINT rule CHECK (b NOT LIKE '%!')`],
} as { readonly [kind: string]: readonly string[]; readonly sqlite: readonly string[] }

const threeItems = async (w: World) => {
  for (const id of ['x', 'y', 'z']) await w.put(w.A, 'item', id)
  await everybody(w)
}

const families = async (w: World) => {
  for (const id of ['x', 'y']) await w.put(w.A, 'item', id)
  for (const [id, item] of [['v', 'x'], ['w', 'x'], ['u', 'y']] as const) await w.put(w.A, 'part', id, undefined, { item: { id: item } }) // biome-ignore format: a table
  await everybody(w)
}

const bothChange = (properties: [string[], string[]]) => async (w: World) => {
  await threeItems(w)
  await w.put(w.A, 'item', 'x', properties[0])
  await w.put(w.B, 'item', 'x', properties[1])
}

/** Puts A's and B's values together, so that neither handler's choice is a matter of who asks. */
const mergeHandler = resolveEach(({ local, remote }) =>
  local && remote ? { ...remote, a: (local as { a: string }).a } : (local ?? remote),
)

export const SCENARIOS: Scenario[] = [
  {
    name: 'one changed row walks from device to device',
    prepare: threeItems,
    async act(w) {
      await w.put(w.A, 'item', 'x', ['a'])
      await w.sync(w.A)
      await w.sync(w.B)
    },
    // a device that forgot what it pushed would conflict with itself
    mend: w => w.put(w.A, 'item', 'x', ['a']),
  },
  {
    name: 'a first sync, both sides with rows',
    async prepare(w) {
      for (const id of ['x', 'y']) await w.put(w.A, 'item', id)
      for (const id of ['z', 'w']) await w.put(w.B, 'item', id)
      await w.sync(w.B)
    },
    async act(w) {
      await w.sync(w.A)
    },
  },
  {
    name: 'a push in batches',
    batchSize: 2,
    async prepare(w) {
      await threeItems(w)
      for (const id of ['x', 'y', 'p', 'q', 'r']) await w.put(w.A, 'item', id, ['b'])
    },
    async act(w) {
      await w.sync(w.A)
    },
    async mend(w) {
      for (const id of ['x', 'p', 'r']) await w.put(w.A, 'item', id, ['b'])
      await w.remove(w.A, 'item', 'q')
    },
  },
  {
    name: 'a pull in pages',
    pageSize: 2,
    async prepare(w) {
      await threeItems(w)
      for (const id of ['x', 'y', 'p', 'q', 'r']) await w.put(w.B, 'item', id, ['b'])
      await w.remove(w.B, 'item', 'z')
      await w.sync(w.B)
      await w.put(w.A, 'item', 'y', ['a'])
    },
    async act(w) {
      await w.sync(w.A)
    },
  },
  {
    name: 'changes to different properties merge',
    prepare: bothChange([['a'], ['b']]),
    async act(w) {
      await w.sync(w.A)
      await w.sync(w.B)
      await w.sync(w.A)
    },
  },
  {
    name: 'a conflict, our side wins',
    prepare: bothChange([['a'], ['a', 'b']]),
    async act(w) {
      w.handler = preferLocalConflictHandler
      await w.sync(w.A)
      await w.sync(w.B)
      await w.sync(w.A)
    },
  },
  {
    name: 'a conflict, the server’s side wins',
    prepare: bothChange([['a', 'c'], ['a', 'b']]), // biome-ignore format: short
    async act(w) {
      w.handler = preferRemoteConflictHandler
      await w.sync(w.A)
      await w.sync(w.B)
    },
  },
  {
    name: 'a conflict that waits, and is decided later',
    prepare: bothChange([['a'], ['a', 'b']]),
    async act(w) {
      w.handler = undefined
      await w.sync(w.A)
      await w.sync(w.B)
      w.handler = mergeHandler
      await w.put(w.B, 'item', 'x', ['c'])
      await w.sync(w.B)
    },
    async mend(w) {
      w.handler = mergeHandler
    },
  },
  {
    name: 'a removal, and a row made anew',
    prepare: threeItems,
    async act(w) {
      await w.remove(w.A, 'item', 'x')
      await w.remove(w.A, 'item', 'y')
      await w.sync(w.A)
      await w.put(w.A, 'item', 'y')
      await w.sync(w.B)
      await w.sync(w.A)
    },
  },
  {
    name: 'a removal against an edit',
    async prepare(w) {
      await threeItems(w)
      await w.remove(w.A, 'item', 'x')
      await w.put(w.A, 'item', 'y', ['a'])
      await w.put(w.B, 'item', 'x', ['a'])
      await w.remove(w.B, 'item', 'y')
    },
    async act(w) {
      w.handler = preferLocalConflictHandler
      await w.sync(w.A)
      await w.sync(w.B)
      await w.sync(w.A)
    },
  },
  {
    name: 'a parent goes with its children, in two collections',
    entities: CASCADE,
    prepare: families,
    async act(w) {
      await w.remove(w.A, 'item', 'x')
      await w.sync(w.A)
      await w.sync(w.B)
    },
  },
  {
    name: 'a parent goes while a child is changed and another is made',
    entities: CASCADE,
    async prepare(w) {
      await families(w)
      await w.remove(w.A, 'item', 'x')
      await w.put(w.B, 'part', 'v', ['a'])
      await w.put(w.B, 'part', 't', undefined, { item: { id: 'x' } })
    },
    async act(w) {
      w.handler = preferLocalConflictHandler
      await w.sync(w.A)
      await w.sync(w.B)
      await w.sync(w.A)
    },
    rounds: 3,
  },
  {
    name: 'the changed child is there first, its parent goes after',
    entities: CASCADE,
    async prepare(w) {
      await families(w)
      await w.put(w.B, 'part', 'v', ['a'])
      await w.put(w.B, 'part', 't', undefined, { item: { id: 'x' } })
      await w.remove(w.A, 'item', 'x')
      await w.sync(w.B)
    },
    async act(w) {
      w.handler = preferRemoteConflictHandler
      await w.sync(w.A)
      await w.sync(w.B)
    },
    rounds: 3,
  },
  {
    name: 'children that were read before their parents',
    entities: CASCADE,
    pageSize: 1,
    batchSize: 1,
    async prepare(w) {
      await w.put(w.A, 'item', 'x')
      await w.put(w.A, 'part', 'v', undefined, { item: { id: 'x' } })
      await w.put(w.A, 'part', 'w', undefined, { item: { id: 'x' } })
    },
    async act(w) {
      await w.sync(w.A, 'part')
      await w.sync(w.A)
      await w.sync(w.B, 'part')
      await w.sync(w.B)
    },
  },
  {
    name: 'a removal that clears keys',
    entities: SET_NULL,
    async prepare(w) {
      await families(w)
      await w.remove(w.A, 'item', 'x')
      await w.put(w.B, 'part', 'v', ['a'])
    },
    async act(w) {
      w.handler = preferLocalConflictHandler
      await w.sync(w.A)
      await w.sync(w.B)
      await w.sync(w.A)
    },
    rounds: 3,
  },
  {
    name: 'a removal that children forbid',
    entities: RESTRICT,
    async prepare(w) {
      await families(w)
      await w.remove(w.A, 'part', 'u')
      await w.remove(w.A, 'item', 'y')
      await w.put(w.B, 'part', 't', undefined, { item: { id: 'y' } })
      await w.sync(w.B)
    },
    async act(w) {
      w.handler = preferLocalConflictHandler
      await w.sync(w.A)
      await w.sync(w.B)
      await w.sync(w.A)
    },
    async mend(w) {
      w.handler = preferRemoteConflictHandler
    },
    rounds: 3,
  },
  {
    name: 'a full answer with a sweep, for one who was away too long',
    pageSize: 2,
    async prepare(w) {
      await threeItems(w)
      await w.put(w.A, 'item', 'w')
      await everybody(w)
      await w.remove(w.B, 'item', 'x')
      await w.remove(w.B, 'item', 'y')
      await w.put(w.B, 'item', 'q')
      await w.sync(w.B)
      await w.put(w.A, 'item', 'y', ['a'])
      await w.put(w.A, 'item', 'w', ['a'])
      await w.put(w.A, 'item', 'p')
    },
    async act(w) {
      w.handler = preferLocalConflictHandler
      await w.run(w.S, () => collectTombstones(w.S.dataSource, { olderThan: -1_000_000 }))
      await w.save(w.S)
      await w.sync(w.A)
      await w.sync(w.B)
    },
    rounds: 3,
  },
  {
    name: 'a first pull in pages, of one who has rows of the same ids',
    pageSize: 2,
    async prepare(w) {
      for (const id of ['x', 'y', 'z', 'w']) await w.put(w.B, 'item', id)
      await w.sync(w.B)
      for (const id of ['y', 'q']) await w.put(w.A, 'item', id)
    },
    async act(w) {
      w.handler = preferLocalConflictHandler
      await w.sync(w.A)
      await w.sync(w.B)
    },
  },
  {
    name: 'a reset after the history id was renewed',
    pageSize: 2,
    batchSize: 2,
    async prepare(w) {
      await threeItems(w)
      await w.put(w.A, 'item', 'x', ['a'])
      await w.put(w.B, 'item', 'y', ['b'])
      await w.remove(w.A, 'item', 'z')
    },
    async act(w) {
      w.handler = preferLocalConflictHandler
      await w.run(w.S, () => renewHistory(w.S.dataSource))
      await w.sync(w.A)
      await w.sync(w.B)
    },
    rounds: 3,
  },
  {
    name: 'a row that the server rejects',
    async prepare(w) {
      await threeItems(w)
      for (const sql of RULE[w.S.kind] ?? RULE.sqlite) w.S.look(sql)
      await w.save(w.S)
      await w.put(w.A, 'item', 'x', ['a', 'b'], {}, ['b'])
      await w.put(w.A, 'item', 'y', ['a'])
      await w.put(w.A, 'item', 'q', [], {}, ['b'])
    },
    async act(w) {
      await w.sync(w.A)
      await w.put(w.A, 'item', 'x', ['b'])
      await w.sync(w.A)
    },
    async mend(w) {
      for (const id of ['x', 'q']) await w.put(w.A, 'item', id, ['b'])
    },
  },
  {
    name: 'a push whose answer was lost',
    async prepare(w) {
      await threeItems(w)
      for (const id of ['x', 'q']) await w.put(w.A, 'item', id, ['a'])
      await w.remove(w.A, 'item', 'z')
    },
    async act(w) {
      lose(w, 'after', 'POST /sync')
      await w.sync(w.A)
      await w.put(w.A, 'item', 'x', ['a', 'b'])
      await w.sync(w.B)
      await w.put(w.B, 'item', 'x', ['c'])
      await w.sync(w.B)
      await w.sync(w.A)
    },
  },
  {
    name: 'a push whose answer was lost, sent again at once',
    retries: 2,
    async prepare(w) {
      await threeItems(w)
      for (const id of ['x', 'q']) await w.put(w.A, 'item', id, ['a'])
      await w.remove(w.A, 'item', 'z')
    },
    async act(w) {
      lose(w, 'after', 'POST /sync')
      await w.sync(w.A)
      await w.sync(w.B)
    },
  },
  {
    name: 'a push that is too large for a proxy',
    async prepare(w) {
      await threeItems(w)
      for (const id of ['x', 'q', 'p', 'r']) await w.put(w.A, 'item', id, ['a'])
    },
    async act(w) {
      w.network.instead = (method, _url, body) =>
        method === 'POST' && rowsIn(body) > 2 ? { status: 413, headers: {}, body: 'too large' } : undefined
      await w.sync(w.A)
      await w.sync(w.B)
    },
  },
  {
    name: 'pages and a sweep of several transactions each',
    async prepare(w) {
      const ids = Array.from({ length: 230 }, (_, i) => `r${i}`)
      await w.fill(w.B, ids)
      await everybody(w)
      await w.remove(w.B, 'item', 'r0')
      await w.remove(w.B, 'item', 'r229')
      await w.put(w.B, 'item', 'r1', ['a'])
      await w.sync(w.B)
      await w.put(w.A, 'item', 'r2', ['b'])
      await w.put(w.A, 'item', 'r229', ['c'])
    },
    async act(w) {
      w.handler = preferRemoteConflictHandler
      await w.run(w.S, () => collectTombstones(w.S.dataSource, { olderThan: -1_000_000 }))
      await w.save(w.S)
      await w.sync(w.A)
    },
  },
  {
    name: 'two servers',
    entities: DOUBLED,
    async prepare(w) {
      await threeItems(w)
      await w.put(w.A, 'item', 'x', ['a'])
      await w.remove(w.A, 'item', 'y')
      await w.put(w.B, 'item', 'x', ['b'])
      await w.put(w.B, 'item', 'q')
    },
    async act(w) {
      await w.sync(w.A)
      await w.sync(w.B)
    },
    rounds: 3,
  },
  {
    name: 'a push that never came',
    async prepare(w) {
      await threeItems(w)
      for (const id of ['x', 'q']) await w.put(w.A, 'item', id, ['a'])
      await w.put(w.B, 'item', 'x', ['a', 'b'])
    },
    async act(w) {
      w.handler = preferLocalConflictHandler
      lose(w, 'before', 'POST /sync')
      await w.sync(w.A)
      await w.put(w.A, 'item', 'x', ['a'])
      await w.sync(w.B)
      await w.sync(w.A)
    },
  },
  {
    name: 'two that push at once: the second one is contested',
    prepare: bothChange([['a'], ['b']]),
    async act(w) {
      // B pushes while A, which has read already, is about to
      let isPushed = false
      w.network.before = method => {
        if (method !== 'POST' || isPushed) return
        isPushed = true
        w.network.before = () => {}
        throw new TypeError('fetch failed')
      }
      await w.sync(w.A)
      await w.sync(w.B)
      await w.sync(w.A)
    },
  },
  {
    name: 'the server’s own application writes, and forgets old pushes',
    prepare: threeItems,
    async act(w) {
      await w.put(w.S, 'item', 'x', ['a'])
      await w.put(w.A, 'item', 'x', ['b'])
      await w.put(w.S, 'item', 'q')
      await w.remove(w.S, 'item', 'y')
      await w.sync(w.A)
      await w.run(w.S, () => forgetPushes(w.S.dataSource, { olderThan: -1_000 }))
      await w.save(w.S)
      await w.sync(w.B)
    },
  },
  {
    name: 'a relay between device and server',
    isRelay: true,
    async prepare(w) {
      await w.put(w.A, 'item', 'x')
      await w.put(w.B, 'item', 'y')
      await everybody(w, 3)
      await w.put(w.A, 'item', 'x', ['a'])
      await w.put(w.B, 'item', 'x', ['b'])
      await w.put(w.of('R'), 'item', 'y', ['c'])
    },
    async act(w) {
      await w.sync(w.A)
      await w.sync(w.B)
      await w.sync(w.of('R'))
      await w.sync(w.A)
    },
    rounds: 4,
  },
  {
    name: 'set-up on an application that has rows',
    async prepare(w) {
      await beginWithoutSync(w.A)
      await w.put(w.B, 'item', 'q')
      await w.sync(w.B)
    },
    async act(w) {
      await w.restart(w.A, { entities: SINGLE, synchronize: true })
      await w.save(w.A)
      await w.sync(w.A)
    },
  },
  {
    name: 'set-up on a server that has rows',
    async prepare(w) {
      await beginWithoutSync(w.S)
      await w.put(w.A, 'item', 'p')
      await w.put(w.B, 'item', 'q')
    },
    async act(w) {
      await w.restart(w.S, { entities: SINGLE, synchronize: true })
      await w.save(w.S)
      await w.sync(w.A)
      await w.sync(w.B)
    },
  },
  {
    name: 'a column that synchronize brings',
    async prepare(w) {
      await threeItems(w)
      await w.put(w.A, 'item', 'x', ['a'])
      await w.put(w.B, 'item', 'x', ['b'])
      await w.sync(w.B)
    },
    async act(w) {
      await w.restart(w.A, { entities: WIDENED, synchronize: true })
      await w.save(w.A)
      await w.sync(w.A)
    },
    async mend(w) {
      for (const each of [w.S, w.B, w.A])
        if (each.schema.entities !== WIDENED) await w.restart(each, { entities: WIDENED, synchronize: true })
    },
  },
  {
    name: 'a migration that brings a column and rewrites a row',
    async prepare(w) {
      await threeItems(w)
      await w.put(w.A, 'item', 'x', ['a'])
    },
    async act(w) {
      await w.restart(w.S, { entities: WIDENED, synchronize: true })
      await w.save(w.S)
      await w.restart(w.A, { entities: WIDENED, migrations: [Widen1700000000000], migrationsRun: true })
      await w.save(w.A)
      await w.sync(w.A)
    },
    async mend(w) {
      for (const each of [w.S, w.B]) if (each.schema.entities !== WIDENED) await w.restart(each, { entities: WIDENED, synchronize: true })
      if (w.A.schema.entities !== WIDENED)
        await w.restart(w.A, { entities: WIDENED, migrations: [Widen1700000000000], migrationsRun: true })
    },
    rounds: 3,
  },
  ...SCOPED_SCENARIOS,
]

/** The database as it was before the application knew of sync. */
async function beginWithoutSync(process: Process): Promise<void> {
  process.schema = { entities: PLAIN, synchronize: true, isPlain: true }
  await process.reset(undefined)
  for (const id of ['x', 'y']) process.look('INSERT INTO item (id, a, b, c) VALUES (?, ?, ?, ?)', id, `${id}a`, `${id}b`, `${id}c`)
}
