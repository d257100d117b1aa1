import type { SyncJournal } from 'typeorm-sync'

/** All rows of the server that are not applied, conflicts and deferred rows, in the order of their ids. */
export async function unappliedOf<E extends object>(of: SyncJournal<E>, url?: string) {
  const options = url === undefined ? {} : { url }
  const rows = [...(await of.conflicts(options)), ...(await of.deferred(options))]
  return rows.sort((x, y) => (x.id < y.id ? -1 : 1))
}
