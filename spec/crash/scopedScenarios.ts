// What goes wrong while rows come in sight, leave and come back. In the end everybody sees everything: then nothing may be lost.

import { wipe } from '../../src/entity/users.js'
import { preferLocalConflictHandler, resolveEach } from '../../src/sync/conflicts/handlers.js'
import type { Scenario } from './scenarios.js'
import { Member, RULES, SCOPED } from './scopedEntities.js'
import type { World } from './world.js'

const USERS = ['A', 'B']
const LISTS = ['one', 'two', 'three']

async function grant(w: World, user: string, list: string): Promise<void> {
  await w.run(w.S, () => w.S.dataSource.getRepository(Member).save({ id: `${user} ${list}`, user, list }))
  await w.save(w.S)
}

async function revoke(w: World, user: string, list: string): Promise<void> {
  await w.run(w.S, () => w.S.dataSource.getRepository(Member).delete({ id: `${user} ${list}` }))
  await w.save(w.S)
}

const item = (w: World, id: string, list: string) => w.put(w.S, 'item', id, undefined, { list })
const part = (w: World, id: string, of: string, more = {}) => w.put(w.S, 'part', id, undefined, { item: { id: of }, ...more })
const everybody = async (w: World) => {
  for (let i = 0; i < 2; i++) for (const each of w.devices) await w.sync(each)
}

/** B sees all but `three`, A the lists that are named. */
async function lists(w: World, ...ofA: string[]): Promise<void> {
  for (const list of ofA) await grant(w, 'A', list)
  for (const list of ['one', 'two']) await grant(w, 'B', list)
  for (const [id, list] of [['x', 'one'], ['y', 'one'], ['z', 'two']] as const) await item(w, id, list) // biome-ignore format: a table
  for (const [id, of] of [['v', 'x'], ['w', 'x'], ['u', 'y'], ['t', 'z']] as const) await part(w, id, of) // biome-ignore format: a table
  await everybody(w)
}

/** Edits of A that were never pushed. */
async function edits(w: World): Promise<void> {
  await w.put(w.A, 'part', 'v', ['a'])
  await w.put(w.A, 'item', 'y', ['a', 'b'])
  await w.remove(w.A, 'part', 'u')
  await w.put(w.A, 'part', 'n', undefined, { item: { id: 'x' } })
}

/** Both sides' values together, so that neither handler's choice is a matter of who asks. */
const both = resolveEach(({ local, remote }) => (local && remote ? { ...remote, a: (local as { a: string }).a } : (local ?? remote)))

const SCOPES = {
  entities: SCOPED,
  rules: RULES,
  async mend(w: World) {
    w.handler = both
    for (const user of USERS) for (const list of LISTS) await grant(w, user, list)
  },
  rounds: 3,
}

export const SCOPED_SCENARIOS: Scenario[] = [
  {
    ...SCOPES,
    name: 'a grant that is read in pages',
    pageSize: 2,
    async prepare(w) {
      await lists(w, 'one')
      for (const id of ['p', 'q']) await item(w, id, 'two')
      await part(w, 'r', 'p')
      await w.put(w.A, 'item', 'x', ['a'])
      await w.put(w.B, 'part', 't', ['b'])
      await w.sync(w.B)
    },
    async act(w) {
      await grant(w, 'A', 'two')
      await w.sync(w.A)
    },
  },
  {
    ...SCOPES,
    name: 'a grant that ends while it is read',
    pageSize: 1,
    async prepare(w) {
      await lists(w)
    },
    async act(w) {
      await grant(w, 'A', 'one')
      let count = 0
      w.network.after = () => {
        if (++count === 2) w.S.look('DELETE FROM member WHERE id = ?', 'A one')
      }
      await w.sync(w.A)
      w.network.after = undefined
      await grant(w, 'A', 'two')
      await w.sync(w.A)
    },
  },
  {
    ...SCOPES,
    name: 'a revocation that takes rows with their parts, and edits that were never pushed',
    async prepare(w) {
      await lists(w, 'one', 'two')
      await edits(w)
    },
    async act(w) {
      await revoke(w, 'A', 'one')
      await w.sync(w.A)
    },
  },
  {
    ...SCOPES,
    name: 'everything is revoked, and swept in transactions of its own',
    pageSize: 2,
    async prepare(w) {
      await lists(w, 'one', 'two')
      await edits(w)
      // the server has forgotten the set: a full answer
      w.S.look('DELETE FROM sync_scope')
    },
    async act(w) {
      await revoke(w, 'A', 'one')
      await w.sync(w.A)
    },
  },
  {
    ...SCOPES,
    name: 'edits that come back, merged or contested',
    async prepare(w) {
      await lists(w, 'one', 'two')
      await edits(w)
      await revoke(w, 'A', 'one')
      await w.sync(w.A)
      await w.put(w.B, 'part', 'v', ['b'])
      await w.put(w.B, 'item', 'y', ['a'])
      await w.put(w.B, 'part', 'u', ['c'])
      await w.sync(w.B)
    },
    async act(w) {
      w.handler = both
      await grant(w, 'A', 'one')
      await w.sync(w.A)
      await w.sync(w.B)
    },
  },
  {
    ...SCOPES,
    name: 'rows that move out of sight, by a push and by the server’s application',
    async prepare(w) {
      await lists(w, 'one')
      await w.put(w.A, 'item', 'x', ['a'], { list: 'two' })
      await w.put(w.A, 'part', 'u', ['b'])
    },
    async act(w) {
      await w.sync(w.A)
      await w.put(w.S, 'item', 'y', ['c'], { list: 'three' })
      await w.put(w.S, 'part', 't', ['c'], { item: { id: 'x' } })
      await w.sync(w.A)
      await w.sync(w.B)
    },
  },
  {
    ...SCOPES,
    name: 'a push that a revocation outruns',
    async prepare(w) {
      await lists(w, 'one', 'two')
      await edits(w)
      await w.put(w.A, 'item', 'z', ['c'])
    },
    async act(w) {
      let isDone = false
      w.network.before = method => {
        if (isDone || method !== 'POST') return
        isDone = true
        w.S.look('DELETE FROM member WHERE id = ?', 'A one')
      }
      await w.sync(w.A)
    },
  },
  {
    ...SCOPES,
    name: 'a decision that waits for a row which is not seen',
    async prepare(w) {
      await lists(w, 'one')
      await part(w, 'o', 'x', { owner: 'A' })
      await everybody(w)
      await w.put(w.A, 'part', 'o', ['a'])
      await w.put(w.S, 'part', 'o', ['a'], { item: { id: 'z' } })
    },
    async act(w) {
      w.handler = preferLocalConflictHandler
      await w.sync(w.A)
      await w.sync(w.A)
    },
  },
  {
    ...SCOPES,
    name: 'a wipe',
    async prepare(w) {
      await lists(w, 'one', 'two')
      await w.put(w.B, 'item', 'x', ['a'])
      await w.sync(w.B)
    },
    async act(w) {
      await w.run(w.A, () => wipe(w.A.dataSource, () => true))
      await w.sync(w.A)
    },
  },
]
