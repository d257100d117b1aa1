// A short form of `npm run crash-points`, which lets every scenario go wrong at each of its moments.

import { spawnSync } from 'node:child_process'
import { expect, test } from '@jest/globals'

test('whatever goes wrong, whenever it does, the next syncs end with all databases equal and nothing lost', () => {
  const run = (...args: string[]) => spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 240_000 })
  const built = run('node_modules/typescript/bin/tsc', '-p', 'spec/crash/tsconfig.json')
  expect(built.stdout + built.stderr).toBe('')
  // of each scenario other points than of its neighbours
  const { stdout, stderr } = run(
    '--enable-source-maps',
    'dist-crash/spec/crash/crashPoints.js',
    '--count',
    '5',
    '--offset',
    '11',
    '--alternate',
  )
  expect(stdout + stderr).toMatch(/\n(\d+) of \1 points in \d+ s\n$/)
}, 270_000)
