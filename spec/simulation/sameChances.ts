// What may happen at any moment of a history on both sides. The order in which it is drawn is part of what a seed means.

import { backUp, collect, reset } from './sameCatastrophes.js'
import { change, forget, grant, handOver } from './sameHands.js'
import { deliver, syncBoth } from './sameSyncs.js'
import type { SameWorld } from './sameWorld.js'
import { write, writeMany } from './sameWrites.js'

/** One operation: what happened, and where both were told otherwise. Undefined: what was drawn cannot be now. */
export async function operate(w: SameWorld): Promise<[what: string | undefined, differences: string[]]> {
  const { chance, pick } = w.random
  const { odds, names, servers, clients, isOfUsers } = w
  const name = pick(servers.size && chance(odds.host) ? names : w.devices)
  if (chance(odds.bulk)) return [writeMany(w, name), []]
  if (w.late.length && chance(odds.late)) return await deliver(w)
  if (chance(odds.collect)) return [await collect(w, pick(names)), []]
  if (chance(odds.reset)) return [reset(w, pick([...servers].filter(n => !clients.has(n)))), []]
  if (chance(odds.backup)) return [backUp(w, pick(names.filter(n => !(servers.has(n) && clients.has(n))))), []]
  const device = pick(w.devices)
  if (isOfUsers && chance(odds.grant)) return [grant(w, pick([...servers])), []]
  if (isOfUsers && chance(odds.forget)) return [forget(w, pick([...servers])), []]
  if (isOfUsers && chance(odds.change)) return [change(w, device), []]
  if (isOfUsers && chance(odds.wipe)) return [await handOver(w, device, true), []]
  if (chance(odds.write)) return [write(w, name), []]
  return await syncBoth(w)
}
