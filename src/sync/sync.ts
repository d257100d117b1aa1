// The loop of one sync: read, decide, tell, until both sides agree.

import { SyncContentionError } from '../errors.js'
import { decideConflicts } from './conflicts.js'
import { countUnsettled } from './journal.js'
import { pull } from './pull.js'
import { finishPush, push, tellAgain } from './push.js'
import type { SyncReport } from './report.js'
import type { Session } from './session.js'

export async function sync(session: Session): Promise<SyncReport> {
  const { log, report, collection } = session
  try {
    for (let round = 0; ; round++) {
      if (round >= session.rounds) throw new SyncContentionError(collection.entity, session.rounds)
      report.rounds++
      await finishPush(session)
      if (round === 0) await tellAgain(session)
      await pull(session)
      await decideConflicts(session)
      const pushed = report.pushed
      let outcome = await push(session)
      while (outcome === 'more') outcome = await push(session)
      if (outcome === 'done') break
      if (report.pushed > pushed) round = -1 // it gets further: the others' changes are no reason to give up
    }
  } finally {
    await log.database.save()
  }
  Object.assign(report, await countUnsettled(session))
  return report.build()
}
