// What the server has to stand, again where its database is MariaDB or MySQL.

import { describe, jest, test } from '@jest/globals'
import { mysqlUrl } from '../support/mysqlServer.js'

if (mysqlUrl) {
  process.env.SYNC_SERVER = 'mysql'
  jest.requireActual('./todoServer.js') // drops its databases after all of them
  for (const spec of ['attacks', 'feed', 'feedPush', 'hostile', 'http', 'largeRows', 'numbers', 'syncRoutes'])
    describe(spec, () => void jest.requireActual(`./${spec}.spec.js`))
} else test.skip('left out: no MariaDB or MySQL', () => {})
