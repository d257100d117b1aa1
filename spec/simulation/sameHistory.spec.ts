import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from '@jest/globals'

// A short budget, of each topology; sameHistory.ts says how to run as many as you like.
const SEEDS = 10

const run = promisify(execFile)
const folder = mkdtempSync(join(tmpdir(), 'same-history-'))
const sameHistory = (...options: string[]) =>
  run(process.execPath, [join(folder, 'spec/simulation/sameHistory.js'), ...options], { maxBuffer: 2 ** 28 }).catch(error => error)

beforeAll(async () => {
  await run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.simulation.json', '--outDir', folder])
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  symlinkSync(join(process.cwd(), 'node_modules'), join(folder, 'node_modules'))
})
afterAll(() => rmSync(folder, { recursive: true }))

test('the model and the shipped code make the same of every operation', async () => {
  const { stdout, stderr } = await sameHistory('--seeds', String(SEEDS), '--operations', '30')
  expect(stderr).toBe('')
  expect(stdout).toMatch(/^0 histories differ$/m)
}, 600_000)

test.each([
  ['star', 'fresh-stamp'],
  ['users', 'exits'],
  ['users', 'purge'],
])(
  'a model without one of its remedies differs from the code: %s, %s',
  async (topology, remedy) => {
    const { stdout } = await sameHistory('--seeds', String(SEEDS), '--topology', topology, '--without', remedy)
    expect(stdout).not.toMatch(/^0 histories differ$/m)
  },
  600_000,
)
