// Real processes, killed at random moments and started again; every edit that a client acknowledged has to be accounted for.
//   npm run processes -- [--seconds 300] [--seed N] [--round SECONDS] [--database sqlite|postgres|mysql] [--clients 20]
//
// On SQLite: a server, and clients on files (files.ts). On the others two servers share a database, behind a load balancer that loses
// connections, and with PostgreSQL a third serves from a streaming standby (team.ts).

import 'reflect-metadata'
import { setTimeout as wait } from 'node:timers/promises'
import { Random } from '../simulation/random.js'
import { findBinaries } from '../support/postgresCluster.js'
import type { Account } from './account.js'
import { fileRound } from './files.js'
import { keepNothing } from './folder.js'
import { endPrograms } from './program.js'
import { mysqlAt, postgresAt, postgresPair, type Shared } from './shared.js'
import { teamRound } from './team.js'

const option = (name: string, otherwise: string): string => {
  const i = process.argv.indexOf(`--${name}`)
  return i < 0 ? otherwise : (process.argv[i + 1] ?? otherwise)
}
const kind = option('database', 'sqlite')
const seconds = Number(option('seconds', '300'))
const seed = Number(option('seed', String(Date.now() % 1e9)))
const roundSeconds = Number(option('round', kind === 'sqlite' ? '20' : '60'))
const clients = Number(option('clients', '20'))
const random = new Random(seed)

async function openShared(): Promise<Shared | undefined> {
  if (kind === 'sqlite') return
  if (kind === 'mysql') return mysqlAt(process.env.MYSQL_URL ?? 'mysql://root@127.0.0.1:3306/test')
  if (kind !== 'postgres') throw new Error(`--database has to be sqlite, postgres or mysql, not ${kind}`)
  const binaries = findBinaries()
  if (binaries) return postgresPair(binaries)
  console.log(
    'without a replica: there are no programs of PostgreSQL (initdb, pg_basebackup …) that make one; PGBIN may say where they are',
  )
  return postgresAt(process.env.POSTGRES_URL ?? 'postgres://postgres@127.0.0.1:5432/test')
}

// what was started ends with us; folders, and clusters of our own, go with the exit
let shared: Shared | undefined
let isInterrupted = false
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, async () => {
    isInterrupted = true
    await endPrograms()
    await Promise.race([shared?.drop().catch(() => {}), wait(5_000)])
    keepNothing()
    process.exit(130)
  })

shared = await openShared()
const total: Record<string, number> = {}
let [rounds, kills, failed] = [0, 0, 0]
try {
  const start = Date.now()
  for (; Date.now() - start < seconds * 1000; rounds++) {
    const left = seconds * 1000 - (Date.now() - start)
    const milliseconds = Math.max(1_000, Math.min(roundSeconds * 1000, left - 4_000))
    const account: Account & { kills: number } = await (shared
      ? teamRound(shared, { milliseconds, clients, seed: seed + rounds * 1_000 }, random)
      : fileRound(rounds, milliseconds, seed, random))
    kills += account.kills
    for (const [name, count] of Object.entries(account.counts)) total[name] = (total[name] ?? 0) + count
    if (account.problems.length) failed++
    for (const text of account.problems.slice(0, 8)) console.log(`round ${rounds}: ${text.slice(0, 1_500)}`)
    if (account.problems.length > 8) console.log(`round ${rounds}: and ${account.problems.length - 8} more`)
  }
} catch (error) {
  // the handler of the signal ends the program
  if (isInterrupted) await new Promise(() => {})
  throw error
} finally {
  await shared?.drop()
}
const { stored = 0, ...others } = total
console.log(
  `${rounds - failed} of ${rounds} rounds held: ${kills} kills, ${stored} acknowledged edits (seed ${seed}; ${JSON.stringify(others)})`,
)
process.exit(failed || !stored || !kills ? 1 : 0)
