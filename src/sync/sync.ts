// The loop of one sync: read, decide, tell, until both sides agree.

import { ServerError, SyncContentionError } from '../errors.js'
import { resolveConflicts } from './conflicts/conflicts.js'
import { pull } from './pull/pull.js'
import { finishPush } from './push/finishPush.js'
import { pushIgnored } from './push/ignored.js'
import { push } from './push/push.js'
import { pushAgain } from './push/rejections.js'
import type { SyncReport } from './report.js'
import type { Session } from './session.js'
import { readSyncStatus, type SyncStatus } from './status.js'

/**
 * `standing` is how things stand at this moment, where that was read just now. Throws what it could not do in the end: ServerError where the
 * server does not serve one of the collections; the others were synced.
 */
export async function sync(session: Session, status?: SyncStatus): Promise<SyncReport> {
  const { log, report, wire } = session
  const entities = session.members.map(m => m.collection.entity)
  try {
    for (let round = 0; session.members.length; round++) {
      if (round >= session.maxRounds) throw new SyncContentionError(entities.join(', '), session.maxRounds)
      report.rounds++
      // usually there is nothing to be done but to ask, and then nothing at all
      const before: SyncStatus = (round === 0 && status) || (await readSyncStatus(session))
      status = undefined
      const isOpen = before.servers.some(server => server.push !== null)
      if (isOpen) await finishPush(session)
      const isRejected = round === 0 && before.again
      if (isRejected) await pushAgain(session)
      const pulled = await pull(session, before.ignored, isOpen || isRejected ? undefined : before)
      if (pulled.gained.size) await pushIgnored(session, pulled.gained)
      let after = (pulled.gained.size ? undefined : pulled.status) ?? (await readSyncStatus(session))
      if (after.waits) {
        await resolveConflicts(session)
        after = await readSyncStatus(session)
      }
      if (after.freed) {
        await pushAgain(session)
        after = await readSyncStatus(session)
      }
      const pushed = report.pushed
      const end = after.isAllPushed ? after : await push(session)
      if (end !== 'again') {
        for (const [collection, left] of end.left) Object.assign(report.of(collection), left)
        report.unknownThere = [...new Set([...end.ignored.values()].flat())].sort()
        // what needs a row that came with a later push has it now
        if (!end.freed && !(wire.isFeed && end.again && report.pushed > pushed)) break
      }
      if (report.pushed > pushed) round = -1 // it gets further: the others' changes are no reason to give up
    }
  } finally {
    await log.database.save()
  }
  const missing = session.lacking.map(m => m.collection.entity)
  if (missing.length)
    throw new ServerError(
      `${wire.url} does not sync ${missing.join(', ')}: is the url of the entity right, and does the server enable it? All local changes are safe.`,
      { url: wire.url, status: 404, isDefinite: true },
    )
  return report.build()
}
