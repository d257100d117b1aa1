// How both stand after an operation, in the same words: rows, what is known of servers, and the order of stamps.

import { readVersions } from '../../src/changes/rows/rows.js'
import { baseOf, isAgreed } from '../../src/changes/servers/agreement.js'
import { openExchange, readRowStates } from '../../src/sync/exchange.js'
import { IDS, type SimulatedDatabase } from './databases.js'
import type { Value } from './model.js'
import * as model from './model.js'
import type { Both } from './sameDatabases.js'
import { text } from './sameText.js'

export const SORTED = [...IDS].sort()

export type State = Map<string, string>

interface Image {
  readonly stamp: number
  readonly value: Value
  readonly agreed: boolean
}

/** Without those that are no base: older ones, and any where the row itself is agreed. */
function describeImages(baseVersions: readonly Image[], isAgreedNow: boolean): string {
  const agreed = baseVersions.filter(i => i.agreed).sort((x, y) => y.stamp - x.stamp)
  const base = isAgreedNow ? undefined : agreed[0]
  const tentative = baseVersions.filter(i => !i.agreed).sort((x, y) => y.stamp - x.stamp)
  return [...(base ? [`agreed ${text(base.value)}`] : []), ...tentative.map(i => `tentative ${text(i.value)}`)].join(', ')
}

/** What an answer from where the cursor stands would be. */
function describeCursor(
  server: { now: number; horizon: number; collection: string; stamps: ReadonlyMap<string, number> },
  client: { collection: string | null | undefined; serverDate: number; highest: number; isPaging: boolean },
): string {
  const { collection, serverDate, highest, isPaging } = client
  if (!collection) return 'never read'
  if (collection !== server.collection || Math.max(serverDate, highest) > server.now) return 'collection-changed'
  const unread = [...server.stamps].filter(([, stamp]) => stamp > serverDate).map(([id]) => id)
  return `${serverDate === 0 ? 'at the beginning, ' : serverDate < server.horizon ? 'since-too-old, ' : ''}${isPaging ? 'paging, ' : ''}unread [${unread.sort()}]`
}

/** How the code writes down that a rejected row is pushed again by this sync. */
const FREED = 5

const isKnown = ({ value, stamp }: { value: unknown; stamp: number }) => (value ? 'row' : stamp ? 'tombstone' : 'nothing')

function describeRow(row: {
  agreed: boolean
  base: Value | undefined
  unapplied: { remote: Value; unpushed: 'agreed' | 'unpushed' | 'older' } | undefined
  /** Why, and when it is pushed again. */
  rejected: string | undefined
  /** What is kept apart from the table; null: the row is here for another server's sake. */
  apart: { local: Value; base: Value | undefined } | null | undefined
  isDecided: boolean
  baseVersions: string
}): string {
  const { agreed, base, unapplied, rejected, apart, isDecided, baseVersions } = row
  return [
    agreed ? 'agreed' : 'news',
    `base ${text(base)}`,
    ...(unapplied ? [`waiting ${text(unapplied.remote)} ${unapplied.unpushed}`] : []),
    ...(rejected === undefined ? [] : [`refused ${rejected}`]),
    ...(apart === null ? ['here for others'] : apart ? [`apart ${text(apart.local)} from ${text(apart.base)}`] : []),
    ...(isDecided ? ['decided'] : []),
    ...(baseVersions ? [`images ${baseVersions}`] : []),
  ].join(', ')
}

const describeScope = (scope: string | null, keys: readonly string[] | undefined) =>
  scope === null ? 'no scope' : scope === '' ? 'no whole set' : keys ? `holds ${[...keys].sort()}` : 'holds what is forgotten'

/** What left scopes, for each row in its order; not those where the row is: they are told to nobody. */
const describeExits = (
  exits: readonly { id: string; stamp: number; isRemoval: boolean; keys: readonly string[] }[],
  isThere: (id: string, keys: readonly string[]) => boolean,
) =>
  exits
    .filter(({ id, isRemoval, keys }) => isRemoval || !isThere(id, keys))
    .sort((x, y) => (x.id < y.id ? -1 : x.id > y.id ? 1 : x.stamp - y.stamp))
    .map(({ id, isRemoval, keys }) => `${id} ${isRemoval ? 'removed' : 'left'} ${keys.join('+')}`)
    .join('; ')

const isIn =
  (at: (id: string) => Value, { scopesOf }: model.Rules) =>
  (id: string, keys: readonly string[]) => {
    const value = at(id)
    return !model.gone(value) && scopesOf(value).join() === keys.join()
  }

const describeSets = (sets: readonly (readonly string[])[]) =>
  sets
    .map(keys => [...keys].sort().join('+'))
    .sort()
    .join('; ')

/** The keys of a set, as the code writes them down. */
function keysIn(held: unknown): string[] {
  const { item } = JSON.parse(String(held)) as { item: 'all' | readonly Readonly<Record<string, readonly string[]>>[] }
  if (item === 'all') return ['*']
  // of a filter that speaks of every owner as well the list is the key
  return item.flatMap(filter => {
    const [property, values] = Object.entries(filter).find(([p]) => p === 'list') ?? (Object.entries(filter)[0] as [string, string[]])
    return values.map(value => `${property} ${value}`)
  })
}

const untoldOf = (unpushed: number | null | undefined, stamp: number) =>
  unpushed === null || unpushed === undefined ? 'agreed' : unpushed === stamp ? 'unpushed' : 'older'

export function stampsOfCode(db: SimulatedDatabase): Map<string, { value: Value; stamp: number }> {
  const [collection] = db.log.collections
  return db.look(readVersions(db.log.database, collection as never, SORTED)) as never
}

export function codeState(world: ReadonlyMap<string, Both>, links: readonly (readonly [string, string])[]): State {
  const state: State = new Map()
  for (const [name, { code }] of world) {
    const versions = stampsOfCode(code)
    for (const id of SORTED) {
      const version = versions.get(id) ?? { value: null, stamp: 0 }
      state.set(`${name} ${id}`, version.value ? text(version.value) : isKnown(version))
    }
    const { rules } = world.get(name)!.model
    if (!rules) continue
    const exits = code.run('SELECT * FROM sync_base_item WHERE _sync_server = 0').map(row => ({
      ...{ id: String(row._sync_id), stamp: Number(row._sync_stamp), isRemoval: Boolean(row._sync_removed) },
      keys: rules.scopesOf(row as Value),
    }))
    state.set(
      `${name} exits`,
      describeExits(
        exits.filter(({ keys }) => keys.length),
        isIn(id => versions.get(id)?.value ?? null, rules),
      ),
    )
    state.set(`${name} sets`, describeSets(code.run('SELECT held FROM sync_scope').map(row => keysIn(row.held))))
  }
  for (const [client, server] of links) {
    const [mine, theirs] = [world.get(client)!.code, world.get(server)!.code]
    const [collection] = mine.log.collections
    const exchange = mine.look(openExchange(mine.log, collection!, remoteIdOf(mine, server)))!
    const { server: known } = exchange
    const link = `${client}→${server}`
    const stamps = new Map([...stampsOfCode(theirs)].map(([id, { stamp }]) => [id, stamp]))
    const { serverHistory, serverDate, highest, page, scope } = known
    const [set] = theirs.run('SELECT held FROM sync_scope WHERE name = ?', scope)
    if (world.get(server)!.model.rules)
      state.set(`${link} user`, `${known.principal === null ? 'nobody' : 'somebody'}, ${describeScope(scope, set && keysIn(set.held))}`)
    const decided = new Set(mine.run('SELECT row_id FROM sync_resolution WHERE url = ?', known.url).map(row => String(row.row_id)))
    const rejections = new Map(
      mine.run('SELECT id, code, again FROM sync_rejection WHERE server = ?', known.id).map(r => [String(r.id), r]),
    )
    state.set(
      `${link} cursor`,
      describeCursor(
        { ...theirs.look(theirs.log.database.clock()), stamps },
        { collection: serverHistory, serverDate, highest, isPaging: page !== null },
      ),
    )
    state.set(`${link} push`, known.push ? 'open' : 'none')
    for (const [id, row] of mine.look(readRowStates(exchange, SORTED))) {
      const { version, unapplied, rejection, baseVersions, noAccess } = row
      const { code, again } = rejections.get(id) ?? {}
      const agreed = isAgreed(known, row, version.stamp)
      state.set(
        `${link} ${id}`,
        describeRow({
          agreed,
          base: baseOf(known, row) as Value | undefined,
          unapplied: unapplied && { remote: unapplied.remote as Value, unpushed: untoldOf(unapplied.unpushed, version.stamp) },
          rejected:
            rejection?.stamp === version.stamp ? `${code === 'not-allowed' ? code : 'rule'}${again === FREED ? ', free' : ''}` : undefined,
          apart: noAccess && (noAccess.local === undefined ? null : { local: noAccess.local as Value, base: noAccess.base as Value }),
          isDecided: decided.has(id),
          baseVersions: describeImages(
            baseVersions.map(i => ({ stamp: i.stamp, value: i.value as Value, agreed: isAgreed(known, row, i.stamp) })),
            agreed,
          ),
        }),
      )
    }
  }
  return state
}

export function modelState(world: ReadonlyMap<string, Both>, links: readonly (readonly [string, string])[]): State {
  const state: State = new Map()
  for (const [name, { model: db }] of world) {
    for (const id of SORTED) {
      const version = db.version(id)
      state.set(`${name} ${id}`, model.gone(version.value) ? isKnown({ value: null, stamp: version.stamp }) : text(version.value))
    }
    if (!db.rules) continue
    state.set(
      `${name} exits`,
      describeExits(
        db.exits.map(({ value, ...exit }) => ({ ...exit, isRemoval: !value?.left })),
        isIn(id => db.version(id).value, db.rules),
      ),
    )
    state.set(`${name} sets`, describeSets([...db.sets.values()].map(set => set.keys)))
  }
  for (const [client, server] of links) {
    const [mine, theirs] = [world.get(client)!.model, world.get(server)!.model]
    const known = remoteOf(mine, server)
    const link = `${client}→${server}`
    const stamps = new Map([...theirs.versions].map(([id, { stamp }]) => [id, stamp]))
    const { collection, serverDate, highest, page, scope } = known
    const set = [...theirs.sets.values()].find(({ name }) => name === scope)
    if (theirs.rules)
      state.set(`${link} user`, `${known.principal === undefined ? 'nobody' : 'somebody'}, ${describeScope(scope, set?.keys)}`)
    state.set(
      `${link} cursor`,
      describeCursor({ ...theirs, stamps }, { collection, serverDate, highest, isPaging: page?.next !== undefined }),
    )
    state.set(`${link} push`, known.push ? 'open' : 'none')
    for (const id of SORTED) {
      const version = db(mine, id)
      const conflict = known.conflicts.get(id)
      const apart = known.aside.get(id)
      const agreed = known.agreed(id, version.stamp)
      state.set(
        `${link} ${id}`,
        describeRow({
          agreed,
          base: known.base(id, version),
          unapplied: conflict && { remote: conflict.theirs, unpushed: untoldOf(conflict.untold, version.stamp) },
          rejected:
            known.rejected.get(id) === version.stamp
              ? `${known.retry.has(id) ? 'not-allowed' : 'rule'}${known.retry.get(id) === 'freed' ? ', free' : ''}`
              : undefined,
          apart: apart && (apart.mine === undefined ? null : { local: apart.mine, base: apart.base }),
          isDecided: known.decisions.has(id),
          baseVersions: describeImages(
            [...(known.images.get(id) ?? [])].map(([stamp, value]) => ({ stamp, value, agreed: known.agreed(id, stamp) })),
            agreed,
          ),
        }),
      )
    }
  }
  return state
}
const db = (database: model.Database, id: string) => database.version(id)

export const remoteOf = (db: model.Database, server: string) => db.remotes.find(r => r.name === server) as model.Remote
export const remoteIdOf = (db: SimulatedDatabase, server: string) =>
  Number(db.run('SELECT id FROM sync_server WHERE origin = ?', `http://${server}`)[0]?.id)

/** Pairs of rows of one database that stand in another order; those that share a stamp on one side have none there. */
export function ranks(world: ReadonlyMap<string, Both>): string[] {
  const differences: string[] = []
  for (const [name, { code, model: db }] of world) {
    const ours = stampsOfCode(code)
    for (const x of db.versions.keys()) {
      for (const y of db.versions.keys()) {
        const inModel = Math.sign(db.version(x).stamp - db.version(y).stamp)
        const inCode = Math.sign((ours.get(x)?.stamp ?? 0) - (ours.get(y)?.stamp ?? 0))
        if (inModel < 0 && inCode > 0) differences.push(`${name}: the model has ${x} before ${y}, the code after it`)
      }
    }
  }
  return differences
}
