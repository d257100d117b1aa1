import type { SyncJournal } from 'typeorm-sync'

/** All rows of the server that are not applied, conflicts and deferred rows, in the order of their ids. */
export async function unappliedOf<E extends object>(of: SyncJournal<E>, url?: string) {
  const rows = [...(await of.conflicts(url)), ...(await of.deferred(url))]
  return rows.sort((x, y) => (x.id < y.id ? -1 : 1))
}
