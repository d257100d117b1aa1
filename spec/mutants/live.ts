// The remedies of what syncs by itself.

import type { Mutant } from './mutants.js'

const live = 'spec/server-koa/live.spec.ts'
const keeps = 'spec/entity/keepSynced.spec.ts'

export const ofLive: Mutant[] = [
  {
    name: 'what-is-committed-during-a-sync-waits',
    hazard: 'a commit that a sync does not see any more is pushed a minute later',
    file: 'src/entity/keep/keeper.ts',
    find: 'if (counts.pending && (pushed || pulled || counts.pending !== before)) this.#schedule.plan(0)',
    replace: '',
    by: [keeps],
  },
  {
    name: 'what-stays-pending-is-pushed-on-and-on',
    hazard: 'a row that the server cannot take yet makes a client hammer',
    file: 'src/entity/keep/keeper.ts',
    find: 'counts.pending && (pushed || pulled || counts.pending !== before)',
    replace: 'counts.pending',
    by: [keeps],
  },
  {
    name: 'retry-after-is-for-others',
    hazard: 'a connection that comes back makes a client ask before the time that the server has named',
    file: 'src/entity/keep/schedule.ts',
    find: 'Math.max(this.#due, this.#backedOff, this.#asked)',
    replace: 'Math.max(this.#due, this.#backedOff, 0)',
    by: ['spec/entity/schedule.spec.ts'],
  },
  {
    name: 'signed-out-and-asking',
    hazard: 'a local commit makes a client ask with a token that was rejected',
    file: 'src/entity/keep/keeper.ts',
    find: "if (counts.pending && this.status.state !== 'signed-out') this",
    replace: 'if (counts.pending) this',
    by: [keeps],
  },
  {
    name: 'stopped-before-the-end',
    hazard: 'stop resolves while a sync that was aborted still works on the database',
    file: 'src/sync/singleFlight.ts',
    find: 'if (run?.callers === 0) await',
    replace: 'if (run?.callers === -1) await',
    by: ['spec/sync/singleFlight.spec.ts'],
  },
  {
    name: 'heard-by-all',
    hazard: 'who listens hears when rows change that they do not see',
    file: 'server-koa/live.ts',
    find: 'readLastTold(database, collections, access, heard.since)',
    replace: 'readLastTold(database, collections, undefined, heard.since)',
    by: [live],
  },
  {
    name: 'another-set-is-no-news',
    hazard: 'who is let into a list hears of it with its next change',
    file: 'server-koa/live.ts',
    find: ' || heard.scope !== access?.scope)',
    replace: ')',
    by: [live],
  },
  {
    name: 'a-shorter-history-is-no-news',
    hazard: 'a reset of the history is no news to who listens',
    file: 'server-koa/live.ts',
    find: 'since > clock.now || (collection',
    replace: 'since < 0 || (collection',
    by: [live],
  },
  {
    name: 'written-to-who-does-not-read',
    hazard: 'events pile up for a client that reads nothing',
    file: 'server-koa/eventStream.ts',
    find: ' && !this.#out.writableNeedDrain) {',
    replace: ') {',
    by: [live],
  },
  {
    name: 'streams-outlive-their-users',
    hazard: 'who listens hears on when the token is over',
    file: 'server-koa/eventStream.ts',
    find: 'this.#later(Math.min(expires, longest), ',
    replace: 'this.#later(longest, ',
    by: [live],
  },
  {
    name: 'a-server-that-waits-for-listeners',
    hazard: 'server.close() waits for streams that never end',
    file: 'server-koa/watcher.ts',
    find: "if (!listener.isServed()) listener.end('stopping')",
    replace: '',
    by: [live],
  },
  {
    name: 'seats-are-never-free',
    hazard: 'streams that have ended count on',
    file: 'server-koa/eventStream.ts',
    find: '    this.#leave()\n',
    replace: '',
    by: [live],
  },
]
