// What the server has to stand, again where its database is PostgreSQL.

import { describe, jest, test } from '@jest/globals'
import { postgresUrl } from '../support/postgresServer.js'

if (postgresUrl) {
  process.env.SYNC_SERVER = 'postgres'
  jest.requireActual('./todoServer.js') // drops its databases after all of them
  for (const spec of ['attacks', 'feed', 'feedPush', 'hostile', 'http', 'largeRows', 'numbers', 'syncRoutes'])
    describe(spec, () => void jest.requireActual(`./${spec}.spec.js`))
} else test.skip('left out: no PostgreSQL', () => {})
