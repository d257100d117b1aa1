// A short form of `npm run processes`.

import { spawnSync } from 'node:child_process'
import { expect, test } from '@jest/globals'

test('processes that are killed at any moment lose no edit that they acknowledged, and their databases end equal', () => {
  const run = (...args: string[]) => spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 60_000 })
  const built = run('node_modules/typescript/bin/tsc', '-p', 'spec/processes/tsconfig.json')
  expect(built.stdout + built.stderr).toBe('')
  const { stdout, stderr } = run(
    '--enable-source-maps',
    'dist-processes/spec/processes/processes.js',
    '--seconds',
    '20',
    '--round',
    '8',
    '--seed',
    '1',
  )
  expect(stdout + stderr).toMatch(/^(\d+) of \1 rounds held: /)
}, 90_000)
