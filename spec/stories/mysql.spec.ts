// The stories of two devices and of the hazards of rows and pushes, again where the server's database is MariaDB, which is slow to make tables.

import { describe, jest, test } from '@jest/globals'
import { mysqlUrl } from '../support/mysqlServer.js'

const STORIES = ['./twoDevices', '../hazards/pushes', '../hazards/rows']

if (mysqlUrl) {
  process.env.SYNC_SERVER = 'mysql'
  // what it does after each test it would do for the first of the stories alone
  jest.requireActual('../hazards/world.js')
  for (const story of STORIES) describe(story, () => void jest.requireActual(`${story}.spec.js`))
} else test.skip('left out: no MariaDB', () => {})
