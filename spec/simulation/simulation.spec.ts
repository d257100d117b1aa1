import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from '@jest/globals'

// A short budget; `npm run simulate -- --schedules N` runs as many as you like.
const SCHEDULES = 90

const run = promisify(execFile)
const folder = mkdtempSync(join(tmpdir(), 'simulation-'))
const simulate = (...options: string[]) =>
  run(process.execPath, [join(folder, 'spec/simulation/simulate.js'), ...options], { maxBuffer: 2 ** 28 }).catch(error => error)

beforeAll(async () => {
  await run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.simulation.json', '--outDir', folder])
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  symlinkSync(join(process.cwd(), 'node_modules'), join(folder, 'node_modules'))
})
afterAll(() => rmSync(folder, { recursive: true }))

test('in random histories nothing is lost, and everybody ends equal', async () => {
  const { stdout, stderr } = await simulate('--schedules', String(SCHEDULES), '--seed', '1', '--workers', '2')
  expect(stderr).toBe('')
  expect(stdout).toContain(`0 of ${SCHEDULES} schedules failed`)
  const states = /^reached: (.*)$/m.exec(stdout)?.[1]?.split(', ') ?? []
  expect(states.length).toBeGreaterThanOrEqual(30)
}, 600_000)

test('a seed replays to the same trace', async () => {
  // it has found a row that was never pushed again: what it needs arrived by another process while its rejection was under way
  const replay = () => simulate('--trace', '--seed', '1100090', '--topology', 'relay')
  const [first, second] = [await replay(), await replay()]
  expect(first.stdout.split('\n').length).toBeGreaterThan(100)
  expect(first.stdout).toContain('"problems":[]')
  expect(second.stdout).toBe(first.stdout)
})
