// The loop of one sync: read, decide, tell, until both sides agree.

import { SyncContentionError } from '../errors.js'
import { decideConflicts } from './conflicts.js'
import { pushIgnored } from './ignored.js'
import { pull } from './pull.js'
import { finishPush, push } from './push.js'
import { tellAgain } from './refusals.js'
import type { SyncReport } from './report.js'
import type { Session } from './session.js'
import { readStanding, type Standing } from './standing.js'

/** `standing` is how things stand at this moment, where that was read just now. */
export async function sync(session: Session, standing?: Standing): Promise<SyncReport> {
  const { log, report, collection } = session
  try {
    for (let round = 0; ; round++) {
      if (round >= session.rounds) throw new SyncContentionError(collection.entity, session.rounds)
      report.rounds++
      // usually there is nothing to be done but to ask, and then nothing at all
      const before: Standing = (round === 0 && standing) || (await readStanding(session))
      const isOpen = before.remote.push !== null
      if (isOpen) await finishPush(session)
      const isRefused = round === 0 && before.again
      if (isRefused) await tellAgain(session)
      const gained = await pull(session, before.ignored, isOpen || isRefused ? undefined : before.remote)
      if (gained.length) await pushIgnored(session, gained)
      let after = await readStanding(session)
      if (after.waits) {
        await decideConflicts(session)
        after = await readStanding(session)
      }
      if (after.freed) {
        await tellAgain(session)
        after = await readStanding(session)
      }
      const pushed = report.pushed
      if (after.isAllTold || (await push(session)) === 'done') {
        const { waiting, refused, ignored, freed } = after.isAllTold ? after : await readStanding(session)
        Object.assign(report, { waiting, refused, unknownThere: ignored })
        if (!freed) break
      }
      if (report.pushed > pushed) round = -1 // it gets further: the others' changes are no reason to give up
    }
  } finally {
    await log.database.save()
  }
  return report.build()
}
