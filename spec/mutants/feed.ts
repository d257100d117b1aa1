// The remedies of the feed: what changes when all collections of a server travel together.

import type { Mutant } from './mutants.js'

const feed = 'spec/stories/feed.spec.ts'

export const onTheFeed: readonly Mutant[] = [
  {
    name: 'contested-on-the-feed-is-an-error',
    hazard: 'a push comes too late: the feed says what is contested, and the server is read first',
    file: 'src/sync/transport.ts',
    find: 'isStale: isFeedStaleAnswer,',
    replace: 'isStale: isStaleAnswer,',
    by: ['spec/sync/transport.spec.ts', 'spec/hazards/pushes.spec.ts', 'simulation'],
  },
  {
    name: 'needed-rows-stay-behind',
    hazard: 'a batch ends between a new row and one that it needs, which was changed since; law 23',
    file: 'src/sync/batch.ts',
    find: '  if (more && exchanges[0]?.remote.batch !== 1) yield* addNeeded(batch, exchanges)\n',
    replace: '',
    by: [feed],
  },
  {
    name: 'needed-rows-are-not-known',
    hazard: 'a row that came along with others is edited there, or removed here, before it is told in its turn; law 5',
    file: 'src/sync/push.ts',
    find: '  yield* keepNeeded(exchanges, batch)\n',
    replace: '',
    by: [feed],
  },
  {
    name: 'needed-rows-count-as-ours',
    hazard: 'a push is too large for what comes along: halving it has to come to an end',
    file: 'src/sync/push.ts',
    find: 'Math.floor((rows.length - needed.length) / 2)',
    replace: 'Math.floor((rows.length + 0 * needed.length) / 2)',
    by: [feed],
  },
  {
    name: 'needed-rows-come-whatever-the-size',
    hazard: 'a row that is too large by itself comes along with each of those that need it',
    file: 'src/sync/batch.ts',
    find: 'if (more && exchanges[0]?.remote.batch !== 1)',
    replace: 'if (more)',
    by: [feed],
  },
  {
    name: 'moves-after-removals',
    hazard: 'a removal is told before the rows that were moved out of it, for a batch ends between them; law 23',
    file: 'src/sync/push.ts',
    find: "    yield* holdParents(exchanges, 'all')\n",
    replace: '',
    by: [feed],
  },
  {
    name: 'new-collection-goes-with-the-others',
    hazard: 'an app update brings an entity: it is read from its beginning',
    file: 'src/sync/question.ts',
    find: '  return unread.length ? unread : remotes\n',
    replace: '  return remotes\n',
    by: [feed],
  },
  {
    name: 'another-history-of-others',
    hazard: 'a server was reset, and a collection that is asked for by itself hears of it first; law 11',
    file: 'src/sync/pull.ts',
    find: '    yield* resetRemote(log.database, collection, remote, answer.collection)\n',
    replace: '',
    by: [feed],
  },
  {
    name: 'ended-where-others-are',
    hazard: 'a push to a route that got no answer is ended at that route, whatever the server has learned meanwhile; law 5',
    file: 'src/sync/push.ts',
    find: 'isOfFeed(push.key) === wire.isFeed ? wire : session.wireOf(push.key, members)',
    replace: 'isOfFeed(push.key) === wire.isFeed || members.length ? wire : session.wireOf(push.key, members)',
    by: [feed],
  },
  {
    name: 'token-of-another-kind',
    hazard: 'a page of a route is no page of the feed',
    file: 'src/sync/question.ts',
    find: 'page === null || isOfFeed(page) !== session.wire.isFeed ? undefined : unmark(page)',
    replace: 'page === null ? undefined : unmark(page)',
    by: [feed],
  },
  {
    name: 'feed-compares-one-collection',
    hazard: 'a trigger changes a row of the second of a push’s collections: whoever posted it is not told',
    file: 'server-koa/push.ts',
    find: 'if (!(yield* areStoredAsPosted(database, collection, some, versionOf))) return false',
    replace: 'return yield* areStoredAsPosted(database, collection, some, versionOf)',
    by: ['spec/server-koa/feedRows.spec.ts'],
  },
  {
    name: 'feed-one-is-to-blame-for-all',
    hazard: 'an error that nobody foresaw refuses the rows that raise it, of several collections, and no others',
    file: 'server-koa/push.ts',
    find: 'return refusals.length ? unique(refusals) : writes.map(refuseTogether)',
    replace: 'return writes.map(refuseTogether)',
    by: ['spec/server-koa/feedRows.spec.ts'],
  },
  {
    name: 'feed-statement-for-each-row',
    hazard: 'the cost of a POST: no statement for each row',
    file: 'server-koa/posted.ts',
    find: '    versions.set(collection, yield* readVersions(database, collection, ids))\n',
    replace:
      '    const own = new Map<string, Version>()\n    for (const id of ids) for (const one of yield* readVersions(database, collection, [id])) own.set(...one)\n    versions.set(collection, own)\n',
    by: ['spec/server-koa/feedStatements.spec.ts'],
  },
]
