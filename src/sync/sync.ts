// The loop of one sync: pull, resolve conflicts, push, until both sides agree.

import { SyncContentionError } from '../errors.js'
import { resolveConflicts } from './conflicts/conflicts.js'
import { ServerError } from './http/errors.js'
import { pull } from './pull/pull.js'
import { finishPush } from './push/finishPush.js'
import { pushIgnored } from './push/ignored.js'
import { push } from './push/push.js'
import { pushAgain } from './push/rejections.js'
import type { SyncReport } from './report.js'
import type { Session } from './session.js'
import { readSyncStatus, type SyncStatus } from './status.js'

/**
 * `status` is the sync status at this moment, where the caller has just read it. Throws SyncContentionError after too many rounds; and in the end
 * ServerError where the server does not serve one of the collections: the others were synced.
 */
export async function sync(session: Session, status?: SyncStatus): Promise<SyncReport> {
  const { members, maxRounds, report, log } = session
  try {
    let known = status
    let isReadBack = false
    for (let round = 0; session.members.length; round++) {
      if (round >= maxRounds) throw new SyncContentionError(members.map(m => m.collection.entity).join(', '), maxRounds)
      report.rounds++
      session.isChangedThere = false
      const outcome = await syncOnce(session, round === 0 && !isReadBack, known)
      // once: what the database here changes in what it reads back is pushed by the next sync
      if (outcome === 'done' && (isReadBack || !session.isChangedThere)) break
      isReadBack ||= outcome === 'done'
      if (outcome !== 'again') round = -1 // it gets further: the others' changes are no reason to stop
      known = undefined
    }
  } finally {
    await log.database.save()
  }
  rejectLacking(session)
  return report.build()
}

/** `further`: rows of ours were pushed, and there is more to do; `again`: others changed the same rows meanwhile. */
type Outcome = 'done' | 'further' | 'again'

async function syncOnce(session: Session, isFirst: boolean, status: SyncStatus | undefined): Promise<Outcome> {
  // usually there is nothing to be done but to ask, and then nothing at all
  const before = status ?? (await readSyncStatus(session))
  const isOpen = before.servers.some(server => server.push !== null)
  if (isOpen) await finishPush(session)
  const isRejected = isFirst && before.again
  if (isRejected) await pushAgain(session)
  const pulled = await pull(session, before.ignored, isOpen || isRejected ? undefined : before)
  if (pulled.gained.size) await pushIgnored(session, pulled.gained)
  let after = (pulled.gained.size ? undefined : pulled.status) ?? (await readSyncStatus(session))
  if (after.hasUnapplied) {
    await resolveConflicts(session)
    after = await readSyncStatus(session)
  }
  if (after.freed) {
    await pushAgain(session)
    after = await readSyncStatus(session)
  }
  return pushRest(session, after)
}

async function pushRest(session: Session, status: SyncStatus): Promise<Outcome> {
  const { report, wire } = session
  const before = report.pushed
  const end = status.isAllPushed ? status : await push(session)
  const isFurther = report.pushed > before
  if (end !== 'again') {
    for (const [collection, left] of end.left) Object.assign(report.of(collection), left)
    report.unknownThere = [...new Set([...end.ignored.values()].flat())].sort()
    // what needs a row that came with a later push has it now
    const isMore = end.freed || (wire.isFeed && end.again && isFurther)
    if (!isMore) return 'done'
  }
  return isFurther ? 'further' : 'again'
}

function rejectLacking({ lacking, wire }: Session): void {
  const missing = lacking.map(m => m.collection.entity)
  if (!missing.length) return
  throw new ServerError(
    `${wire.url} does not sync ${missing.join(', ')}. Is its url right, and does the server enable it, with a rule if it has rules? All local changes are safe.`,
    { url: wire.url, status: 404, isDefinite: true },
  )
}
