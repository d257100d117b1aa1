// This project's rows in the harness beside it, against the limits measured in the same run; then what capture costs an application's own writes.
//   npm run bench -- [--work W1,W2,W3,W4,W5,W6,W7,local] [--n 1000] [--rows typeorm-sync:libsql,limit,hand] [--rounds 5] [--out results] …
// README.md beside this file says more.

import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { number, table } from './harness/lib/report.mjs'

const TARGETS = { W1: '<= 1.3', W2: '<= 1.5', W3n: '< 1.5', W4: '<= 2' }
const LIMITS = ['L2 bsq', 'L2 sqljs']

const require = createRequire(import.meta.url)
const versionOf = Database => {
  const database = new Database(':memory:')
  const { version } = database.prepare('SELECT sqlite_version() AS version').get()
  database.close()
  return version
}

/** The version of the SQLite in better-sqlite3; undefined where it is not installed, or not built for this Node. */
function betterSqlite3() {
  try {
    return versionOf(require('better-sqlite3'))
  } catch {
    return undefined
  }
}

const native = betterSqlite3()
const text = otherwise => ({ type: 'string', default: otherwise })
const ours = ['libsql', 'sqljs', ...(native ? ['bsq'] : [])].map(row => `typeorm-sync:${row}`)
const { values } = parseArgs({
  options: {
    work: text('W1,W2,W3,W4,W5,W6,W7,local'),
    rows: text([...ours, 'hand:bsq-mem', 'hand:sqljs', 'limit:l2-bsq-mem', 'limit:l2-sqljs'].join()),
    rounds: text('5'),
    out: text('results'),
    tag: text(''),
    ...Object.fromEntries(['n', 'skip', 'inner', 'patience', 'slow', 'timeout', 'profile'].map(name => [name, { type: 'string' }])),
    list: { type: 'boolean' },
    json: { type: 'boolean' },
  },
})
const { work, rows, rounds, out, ...others } = values
// the files, too, say what the rows bsq were measured on
const tag = [others.tag, ...(native ? [] : ['bsq-is-libsql'])].filter(Boolean).join('-')

function run(file, options, execArgv = []) {
  const args = Object.entries(options).map(([name, value]) => (value === true ? `--${name}` : `--${name}=${value}`))
  const preload = native ? '' : ` --import=${new URL('standIn.mjs', import.meta.url)}`
  const env = { ...process.env, NODE_OPTIONS: (process.env.NODE_OPTIONS ?? '') + preload }
  const { status } = spawnSync(process.execPath, [...execArgv, fileURLToPath(new URL(file, import.meta.url)), ...args], {
    env,
    stdio: 'inherit',
  })
  if (status !== 0) process.exit(status ?? 1)
}

function resultsSince(start) {
  const files = readdirSync(out).map(name => join(out, name))
  return files
    .filter(file => file.endsWith('.json') && statSync(file).mtimeMs >= start)
    .sort((a, b) => statSync(a).mtimeMs - statSync(b).mtimeMs)
    .map(file => JSON.parse(readFileSync(file, 'utf8')))
}

function ratios(results) {
  const lines = results.flatMap(({ work, n, lines }) =>
    lines
      .filter(({ name, rounds }) => rounds && name.startsWith('typeorm-sync:'))
      .map(({ name, ratios }) => [name, work, n, ...LIMITS.map(limit => number(ratios[limit]?.warm)), TARGETS[work] ?? '-']),
  )
  if (lines.length) console.log(`\n### Ratios\n\n${table(['row', 'work', 'n', ...LIMITS.map(limit => `x ${limit}`), 'target'], lines)}`)
}

console.log(
  native
    ? `The rows named bsq are measured on better-sqlite3 (SQLite ${native}).`
    : `better-sqlite3 is not installed, or not built for this Node: the rows named bsq are measured on libsql (SQLite ${versionOf(require('libsql'))}), which is slower. npm install --no-save better-sqlite3@12 brings it.`,
)

const works = work.split(',')
const synced = works.filter(name => !['local', 'W6', 'W7'].includes(name))
if (synced.length || values.list) {
  const start = Date.now()
  run('harness/bench.mjs', { ...others, work: synced.join(), rows, rounds, out, tag })
  if (values.list) process.exit()
  const results = resultsSince(start)
  ratios(results)
  if (results.some(({ lines }) => lines.some(line => line.error))) process.exitCode = 1
}

const names = rows.split(',')
const stores = ['libsql', 'sqljs', 'bsq'].filter(store => names.includes(`typeorm-sync:${store}`))
if (works.includes('W6') && stores.length)
  run('feed.mjs', { stores: stores.filter(store => store !== 'bsq').join() || 'libsql', rounds, out, tag }, ['--expose-gc'])
if (works.includes('W7')) run('scopes.mjs', { rounds, out, tag }, ['--expose-gc'])
if (works.includes('local') && stores.length) run('local.mjs', { stores: stores.join(), rounds, out, tag }, ['--expose-gc'])
