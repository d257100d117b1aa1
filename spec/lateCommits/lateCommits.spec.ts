// A short form of `npm run late-commits`, and of its trials that have to fail.

import { spawn, spawnSync } from 'node:child_process'
import { beforeAll, describe, expect, test } from '@jest/globals'
import { mysqlUrl } from '../support/mysqlServer.js'
import { postgresUrl } from '../support/postgresServer.js'

const DATABASES = [
  { database: 'postgres', url: postgresUrl },
  { database: 'mysql', url: mysqlUrl },
].filter(({ url }) => url !== undefined)

function run(...args: string[]): Promise<string> {
  const child = spawn(process.execPath, ['--enable-source-maps', 'dist-late-commits/spec/lateCommits/lateCommits.js', ...args])
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', data => {
      said += data
    })
  return new Promise((resolve, reject) => child.on('error', reject).on('close', code => resolve(`${said}exit ${code}`)))
}

beforeAll(() => {
  const built = spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'spec/lateCommits/tsconfig.json'], {
    encoding: 'utf8',
  })
  expect(built.stdout + built.stderr).toBe('')
})

if (!DATABASES.length) test.skip('late commits (left out: no PostgreSQL, MariaDB or MySQL)', () => {})

for (const { database } of DATABASES)
  describe(`late commits on ${database}`, () => {
    test('eight write through the middleware and past it, and no reader misses anything', async () => {
      expect(await run('--database', database, '--transactions', '300', '--seconds', '120', '--seed', '1')).toMatch(
        /no reader missed anything\nexit 0$/,
      )
    })

    test.each(['lock', 'order', 'snapshot'])('with its %s broken somebody does', async broken => {
      expect(await run('--database', database, '--transactions', '100', '--seconds', '120', '--seed', '1', '--break', broken)).toMatch(
        /the reader [\s\S]* missed [\s\S]*MISSED: \d+.*\nexit 1$/,
      )
    })
  })
