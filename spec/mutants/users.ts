// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the source's text
// The remedies that keep the rows of one user apart from those of another.

import type { Mutant } from './mutants.js'

const users = 'spec/stories/users.spec.ts'

export const ofUsers: Mutant[] = [
  {
    name: 'answers-of-another-user-are-stored',
    hazard: 'an answer of another principal stops the sync before anything is stored (law 22)',
    file: 'src/sync/pull/pull.ts',
    find: '    checkPrincipal(session.wire.url, principalOf(servers), answer)\n',
    replace: '',
    by: [users, 'simulation'],
  },
  {
    name: 'pushes-name-no-user',
    hazard: "the user changes between pull and push: the push is stored as the other one's (law 22)",
    file: 'src/sync/principal.ts',
    find: '(principal === undefined ? {} : { principal })',
    replace: '(principal === undefined ? {} : {})',
    by: [users, 'simulation'],
  },
  {
    name: 'pushes-for-another-user-are-stored',
    hazard: 'the server stores a push that was made on behalf of another user (law 22)',
    file: 'server-koa/principal.ts',
    find: 'if (meant === undefined || meant === principal) return',
    replace: 'if (meant !== undefined || meant === principal) return',
    by: [users],
  },
  {
    name: 'another-user-ends-a-push',
    hazard: 'a push without an answer is ended by another user, whose key it is not: it counts as not stored',
    file: 'src/sync/push/finishPush.ts',
    find: "      if (answer.kind !== 'rejected') checkPrincipal(there.url, principal, answer.answer)\n",
    replace: '',
    by: [users],
  },
  {
    name: 'keys-of-all-users',
    hazard: "an idempotency key of another user brings that one's answer",
    file: 'server-koa/answerPush.ts',
    find: 'principal === undefined ? key : `${principal} ${key}`',
    replace: 'principal === undefined ? key : `${key}`',
    by: [users],
  },
  {
    name: 'feed-sets-of-all-users',
    hazard: 'a page or an ETag of another user counts on the feed',
    file: 'server-koa/tokens.ts',
    find: 'JSON.stringify([principal ?? null, ',
    replace: "JSON.stringify([principal === '' ? principal : null, ",
    by: [users],
  },
  {
    name: 'pages-of-all-users',
    hazard: 'a page of another user counts on a route',
    file: 'server-koa/tokens.ts',
    find: 'list[3] === (principal ?? null) ? token : undefined',
    replace: "list[3] !== '' && principal !== '' ? token : undefined",
    by: [users],
  },
  {
    name: 'etags-of-all-users',
    hazard: 'an ETag of another user counts on a route',
    file: 'server-koa/answerPull.ts',
    find: 'tag: `${principal}.`',
    replace: "tag: ''",
    by: [users],
  },
  {
    name: 'each-collection-has-its-own-user',
    hazard: "the user changes while the collections of a server are read one after the other: both users' rows are mixed",
    file: 'src/sync/principal.ts',
    find: "  yield* query('UPDATE sync_server SET principal = ? WHERE origin = ?', principal, any.origin)\n",
    replace: '',
    by: [users],
  },
  {
    name: 'wiped-unasked',
    hazard: 'what is changed while the user is asked whether to wipe is lost unasked',
    file: 'src/entity/users.ts',
    find: 'now === confirmed ? 0',
    replace: 'confirmed !== undefined ? 0',
    by: [users],
  },
  {
    name: 'wiped-but-for-base-versions',
    hazard: 'base versions keep what a wiped device held',
    file: 'src/sync/handOver.ts',
    find: '    yield* query(`DELETE FROM ${quote(baseTableOf(collection.table))}`)\n',
    replace: '',
    by: [users],
  },
  {
    name: 'removals-are-adopted',
    hazard: 'what the former user removed is removed for the one who adopts the rows',
    file: 'src/sync/handOver.ts',
    find: "  yield* query('DELETE FROM sync_tombstone')\n",
    replace: '',
    by: [users],
  },
]
