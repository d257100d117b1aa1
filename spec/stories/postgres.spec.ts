// The stories of two devices and of every hazard, again where the server's database is PostgreSQL.

import { describe, jest, test } from '@jest/globals'
import { postgresUrl } from '../support/postgresServer.js'

const STORIES = ['./twoDevices', '../hazards/cursors', '../hazards/pushes', '../hazards/rows', '../hazards/servers', '../hazards/clone']

if (postgresUrl) {
  process.env.SYNC_SERVER = 'postgres'
  // what it does after each test it would do for the first of the stories alone
  jest.requireActual('../hazards/world.js')
  for (const story of STORIES) describe(story, () => void jest.requireActual(`${story}.spec.js`))
} else test.skip('left out: no PostgreSQL', () => {})
