// Two devices once more, they and the server on MariaDB, which is slow to make tables: two servers of one organisation that sync with each other.

import { describe, jest, test } from '@jest/globals'
import { mysqlUrl } from '../support/mysqlServer.js'

const STORIES = ['./twoDevices', './oldServerRandom', './journalChildren']

if (mysqlUrl) {
  process.env.SYNC_SERVER = 'mysql'
  process.env.SYNC_DEVICE = 'mysql'
  for (const story of STORIES) describe(story, () => void jest.requireActual(`${story}.spec.js`))
} else test.skip('left out: no MariaDB', () => {})
