// Reads what changed on the server, page by page, from where the last pull ended. Stopping anywhere is safe.

import type { Collection } from '../../changes/collections/collection.js'
import { isUndecided } from '../../changes/servers/agreement.js'
import { type ServerState, writeServers } from '../../changes/servers/serverState.js'
import type { Transaction } from '../../databases/database.js'
import { checkPrincipal, principalOf } from '../principal.js'
import { forgetScope, isScopeGone } from '../scope.js'
import { type Exchanges, type Session, serversIn, TransactionSize, transaction } from '../session.js'
import type { SyncStatus } from '../status.js'
import { AnswerCheck } from './answerCheck.js'
import { PageReader } from './pageReader.js'
import { type ByCollection, cursorsOf, nextAsked, questionOf } from './question.js'
import { isServedOtherwise, noteProperties } from './served.js'
import { storePage } from './storePage.js'

export interface PullOutcome {
  /** Properties that the server has ignored, and for which it has a column now. */
  readonly gained: ByCollection<readonly string[]>
  /** The sync status after the last transaction; undefined where it was not read. */
  readonly status: SyncStatus | undefined
}

/**
 * Reads until all is read; `known` is the sync status at this moment, where the caller has just read it. Asks along whether the server has
 * columns for properties that it has ignored.
 */
export async function pull(session: Session, ignored: ByCollection<readonly string[]>, known?: SyncStatus): Promise<PullOutcome> {
  session.signal?.throwIfAborted() // what was aborted before is not heard of
  const pages = new PageReader(session)
  try {
    return await readPages(session, pages, ignored, known)
  } finally {
    pages.end()
  }
}

async function readPages(
  session: Session,
  pages: PageReader,
  ignored: ByCollection<readonly string[]>,
  known: SyncStatus | undefined,
): Promise<PullOutcome> {
  const gained = new Map<Collection, readonly string[]>()
  const check = new AnswerCheck(session)
  const size = new TransactionSize()
  for (let latest = known; ; latest = undefined) {
    const servers: readonly ServerState[] = latest?.servers ?? (await transaction(session, serversIn, { mode: 'read' }))
    // another sync of this database has begun to push
    if (servers.some(server => server.push && !isUndecided(server))) return { gained, status: undefined }
    const asked = nextAsked(servers)
    const question = questionOf(session, asked, ignored)
    const { answer, ...pulled } = await pages.read(question, asked)
    if (!answer) return { gained, status: latest } // what was changed meanwhile is the next sync's
    checkPrincipal(session.wire.url, principalOf(servers), answer)
    check.check(question, answer)
    if (isScopeGone(asked, question, answer)) {
      await transaction(session, exchanges => beginAgain(session, exchanges, asked))
      pages.forgetAhead()
      continue
    }
    if (isServedOtherwise(session, question, answer)) {
      if (!session.members.length) return { gained, status: undefined }
      pages.forgetAhead()
      continue
    }
    noteProperties(session, answer, ignored, gained)
    pages.askAhead(question, answer, pulled.isNearLimit)
    const stored = await storePage(session, { asked, question, answer, etag: pulled.etag, limit: pages.limit }, size)
    if (stored.cursor !== undefined) check.noteTurned(answer)
    pages.noteStored(stored.cursor)
    session.report.emit('pull')
    if (stored.complete && asked.length === servers.length) return { gained, status: stored.status }
  }
}

function* beginAgain({ log }: Session, exchanges: Exchanges, asked: readonly ServerState[]): Transaction<void> {
  const servers = exchanges.map(({ server }) => server).filter(server => asked.some(({ id }) => id === server.id))
  if (cursorsOf(servers) !== cursorsOf(asked)) return // another sync of this database was faster
  forgetScope(servers)
  yield* writeServers(log.database, servers)
}
