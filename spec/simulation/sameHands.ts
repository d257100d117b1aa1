// Who has a device in their hands, and what the host lets them see, on both sides.

import { openServers } from '../../src/changes/servers/servers.js'
import { adopt, wipe } from '../../src/entity/users.js'
import * as model from './model.js'
import { EVERYTHING } from './policies.js'
import { remoteOf } from './sameStates.js'
import type { SameWorld } from './sameWorld.js'
import { ROLES, USERS } from './schemas.js'

/** A device, or a relay, knows its servers. */
export function openServersOf(w: SameWorld, client: string): void {
  const { code, model: db } = w.at(client)
  for (const [c, server] of w.links) {
    if (c !== client) continue
    code.look(openServers(code.log.database, [{ collection: code.log.collections[0]!, url: `http://${server}/items` }], `http://${server}`))
    db.remotes.push(Object.assign(new model.Remote(server), { tokenOfRemoval: () => 'r' }))
  }
}

// ------------------------------------------------------------ the host

const listsOf = (w: SameWorld) => w.scopes.find(({ column }) => column === 'list')!.values.filter(l => l !== null)

/** In the beginning somebody has a device, and the host some members. */
export function beginUsers(w: SameWorld, name: string): void {
  const { chance, pick } = w.random
  if (w.clients.has(name)) w.userOf.set(name, drawUser(w, name))
  if (!w.servers.has(name)) return
  for (const who of USERS) for (const list of listsOf(w)) if (chance(0.5)) setRole(w, name, who, list, pick(ROLES))
}

/** The host gives somebody a role in a list; undefined: none. */
function setRole(w: SameWorld, name: string, who: string, list: string, role: string | undefined): void {
  const { code, model: db } = w.at(name)
  const id = `${who} ${list}`
  code.run('DELETE FROM member WHERE id = ?', id)
  db.members.delete(id)
  if (role === undefined) return
  code.run('INSERT INTO member (id, who, list, role) VALUES (?, ?, ?, ?)', id, who, list, role)
  db.members.set(id, { who, list, role })
}

/** The host grants, revokes, or changes a right. */
export function grant(w: SameWorld, name: string): string {
  const { chance, pick } = w.random
  const { versions, members } = w.at(name).model
  // usually somebody who has a device, and a list in which there is something
  const lists = [...versions.values()].flatMap(({ value }) => (value && !model.gone(value) ? (value.list ?? []) : []))
  const users = w.links.flatMap(([client, server]) => (server === name ? (w.userOf.get(client) ?? []) : [])).filter(u => u !== EVERYTHING)
  const who = users.length && chance(0.7) ? pick(users) : pick(USERS)
  const list = lists.length && chance(0.7) ? pick(lists) : pick(listsOf(w))
  const isRevoked = members.has(`${who} ${list}`) && chance(0.7)
  const role = isRevoked ? undefined : pick(ROLES)
  setRole(w, name, who, list, role)
  return `${name} makes ${who} ${role ?? 'nothing'} of ${list}`
}

export function forget(w: SameWorld, name: string): string {
  w.at(name).code.run('DELETE FROM sync_scope')
  w.at(name).model.sets.clear()
  return `${name} forgets all sets of keys`
}

// ------------------------------------------------------------ devices

// a relay has to see what its devices may see
const drawUser = ({ servers, random: { chance, pick } }: SameWorld, client: string) =>
  servers.has(client) || chance(0.15) ? EVERYTHING : pick(USERS)

/** Somebody takes a device. */
export function change(w: SameWorld, client: string): string {
  w.userOf.set(client, drawUser(w, client))
  return `${client} is in the hands of ${w.userOf.get(client)}`
}

/** What an application does when it hears that somebody else has signed in than the one whose rows are here. */
export async function meetOther(w: SameWorld, client: string, server: string): Promise<string> {
  const { chance } = w.random
  const former = remoteOf(w.at(client).model, server).principal as string
  if (chance(0.7)) return await handOver(w, client, chance(0.7))
  w.userOf.set(client, former)
  return `${client} is in the hands of ${former} again`
}

/** A device is emptied, or its rows become the present user's. */
export async function handOver(w: SameWorld, client: string, isWiped: boolean): Promise<string> {
  const both = w.at(client)
  await (isWiped ? wipe : adopt)(both.code.dataSource, () => true)
  const { model: before } = both
  const db = isWiped ? new model.Database(before.collection) : before
  db.rules = before.rules
  db.now = before.now
  db.horizon = db.tick()
  db.exits = []
  for (const [id, { value }] of db.versions) if (model.gone(value)) db.versions.delete(id)
  const decisions = before.remotes.map(r => r.decisions)
  db.remotes = []
  both.model = db
  openServersOf(w, client)
  // decisions about rows that stay are no secret of the former user's
  if (!isWiped) for (const [i, r] of db.remotes.entries()) r.decisions = decisions[i] as Set<string>
  return `${client} is ${isWiped ? 'wiped' : 'adopted'}`
}
