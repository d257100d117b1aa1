// The remedies of what syncs by itself.

import type { Mutant } from './mutants.js'

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
]
