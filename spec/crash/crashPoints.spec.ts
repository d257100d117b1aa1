// A short form of `npm run crash-points`, which lets every scenario go wrong at each of its moments.

import { spawnSync } from 'node:child_process'
import { beforeAll, expect, test } from '@jest/globals'
import { mysqlUrl } from '../support/mysqlServer.js'
import { postgresUrl } from '../support/postgresServer.js'

// on a slow machine
const LIMIT = 900_000

const run = (...args: string[]) => spawnSync(process.execPath, args, { encoding: 'utf8', timeout: LIMIT })

function holds(...args: string[]): void {
  const { stdout, stderr } = run('--enable-source-maps', 'dist-crash/spec/crash/crashPoints.js', ...args)
  expect(stdout + stderr).toMatch(/\n(\d+) of \1 points in \d+ s\n$/)
}

beforeAll(() => {
  const built = run('node_modules/typescript/bin/tsc', '-p', 'spec/crash/tsconfig.json')
  expect(built.stdout + built.stderr).toBe('')
})

test(
  'whatever goes wrong, whenever it does, the next syncs end with all databases equal and nothing lost',
  () => {
    // of each scenario other points than of its neighbours
    holds('--count', '5', '--offset', '11', '--alternate')
  },
  LIMIT,
)

const SERVERS = [...(postgresUrl ? ['postgres'] : []), ...(mysqlUrl ? ['mysql'] : [])]
if (SERVERS.length)
  test.each(SERVERS)(
    'so they do where the server is on %s',
    database => {
      const scenario = 'a push in batches|a grant that is read|a push that a revocation outruns'
      holds('--count', '4', '--offset', '7', '--alternate', '--database', database, '--scenario', scenario)
    },
    LIMIT,
  )
