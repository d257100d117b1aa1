import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { mysqlUrl } from '../support/mysqlServer.js'
import { postgresUrl } from '../support/postgresServer.js'

// A short budget; `npm run simulate -- --database postgres --schedules N`, or mysql, runs as many as you like.
const SCHEDULES = 15

const run = promisify(execFile)
const folder = mkdtempSync(join(tmpdir(), 'simulation-'))
const kinds = [
  { kind: 'postgres', url: postgresUrl },
  { kind: 'mysql', url: mysqlUrl },
]

beforeAll(async () => {
  await run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.simulation.json', '--outDir', folder])
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  symlinkSync(join(process.cwd(), 'node_modules'), join(folder, 'node_modules'))
})
afterAll(() => rmSync(folder, { recursive: true }))

for (const { kind, url } of kinds) {
  const title = `where the servers are on ${kind}, nothing is lost, and everybody ends equal`
  if (url === undefined) test.skip(`${title} (left out: there is none)`, () => {})
  else
    test(title, async () => {
      const options = ['--database', kind, '--schedules', String(SCHEDULES), '--seed', '1', '--workers', '1']
      const { stdout, stderr } = await run(process.execPath, [join(folder, 'spec/simulation/simulate.js'), ...options], {
        maxBuffer: 2 ** 28,
      }).catch(error => error)
      expect(stderr).toBe('')
      expect(stdout).toContain(`0 of ${SCHEDULES} schedules failed`)
      expect(stdout).toMatch(/step waits for a transaction/)
    }, 900_000)
}
