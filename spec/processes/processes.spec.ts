// A short form of `npm run processes`.

import { spawnSync } from 'node:child_process'
import { beforeAll, expect, test } from '@jest/globals'
import { mysqlUrl } from '../support/mysqlServer.js'
import { findBinaries } from '../support/postgresCluster.js'
import { postgresUrl } from '../support/postgresServer.js'

// on a slow machine
const LIMIT = 900_000

const run = (...args: string[]) => spawnSync(process.execPath, args, { encoding: 'utf8', timeout: LIMIT })

beforeAll(() => {
  const built = run('node_modules/typescript/bin/tsc', '-p', 'spec/processes/tsconfig.json')
  expect(built.stdout + built.stderr).toBe('')
})

function runProcesses(...options: string[]): string {
  const { stdout, stderr } = run('--enable-source-maps', 'dist-processes/spec/processes/processes.js', '--seed', '1', ...options)
  return stdout + stderr
}

const held = /^(?:without a replica.*\n)?(\d+) of \1 rounds held: /

test(
  'processes that are killed at any moment lose no edit that they acknowledged, and their databases end equal',
  () => {
    expect(runProcesses('--seconds', '20', '--round', '8')).toMatch(held)
  },
  LIMIT,
)

const shared = [
  ['postgres', findBinaries() || postgresUrl ? 'there' : 'PostgreSQL'],
  ['mysql', mysqlUrl ? 'there' : 'MariaDB or MySQL'],
] as const
for (const [kind, missing] of shared) {
  const tested = missing === 'there' ? test : test.skip
  const leftOut = missing === 'there' ? '' : ` (left out: no ${missing})`
  tested(
    `several servers on one database, killed and cut off, lose no edit that was acknowledged: ${kind}${leftOut}`,
    () => {
      expect(runProcesses('--seconds', '24', '--database', kind, '--clients', '10')).toMatch(held)
    },
    LIMIT,
  )
}
