// Stories once more where devices and servers are all on PostgreSQL: two servers of one organisation that sync with each other.

import { describe, jest, test } from '@jest/globals'
import { postgresUrl } from '../support/postgresServer.js'

const STORIES = ['./twoDevices', './topology', './oldServerRandom', './journalChildren']

if (postgresUrl) {
  process.env.SYNC_SERVER = 'postgres'
  process.env.SYNC_DEVICE = 'postgres'
  for (const story of STORIES) describe(story, () => void jest.requireActual(`${story}.spec.js`))
} else test.skip('left out: no PostgreSQL', () => {})
