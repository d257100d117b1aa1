// Who syncs with whom, and what servers are on.

import type { OtherKind } from './otherDatabase.js'

/** Pairs of a client and one of its servers; one that is both is a relay. */
export const TOPOLOGIES = {
  star: [
    ['d1', 'S'],
    ['d2', 'S'],
    ['d3', 'S'],
  ],
  relay: [
    ['R', 'U'],
    ['d1', 'R'],
    ['d2', 'R'],
    ['d3', 'U'],
  ],
  two: [
    ['d1', 'S'],
    ['d1', 'T'],
    ['d2', 'S'],
    ['d2', 'T'],
  ],
  // the same with users who see a part of the rows
  users: [
    ['d1', 'S'],
    ['d2', 'S'],
    ['d3', 'S'],
    ['d4', 'S'],
  ],
  'users-relay': [
    ['R', 'U'],
    ['d1', 'R'],
    ['d2', 'R'],
    ['d3', 'U'],
  ],
  'users-two': [
    ['d1', 'S'],
    ['d1', 'T'],
    ['d2', 'S'],
    ['d2', 'T'],
  ],
} as const
export type Topology = keyof typeof TOPOLOGIES

export const hasUsers = (topology: Topology) => topology.startsWith('users')

/** What servers are on: SQLite files, or another database. */
export type ServerKind = 'sqlite' | OtherKind
