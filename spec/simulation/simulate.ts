// Runs random histories of the shipped code.
//   npm run simulate -- [--schedules N] [--seed S] [--topology star,relay,two,users,users-relay,users-two] [--steps N] [--trace] [--workers N] [--show N]
//     [--database sqlite|postgres|mysql]: what the servers are on; where POSTGRES_URL or MYSQL_URL says, or on this machine
//     [--schema NAME] [--journal ODDS] [--rest yes|no] [--valid yes|no] [--again yes|no] [--late S,d1]: features that every history is to have, instead of those that its seed draws

import { fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import 'reflect-metadata'
import { type Features, schemaNamed } from './features.js'
import { history } from './history.js'
import { OTHER_STATES, STATES, USER_STATES } from './states.js'
import { hasUsers, type ServerKind, TOPOLOGIES, type Topology } from './topologies.js'

// some worlds have values that are unique among the rows of all users: what they are warned of is meant
const warn = process.emitWarning as (...given: unknown[]) => void
process.emitWarning = (...given: unknown[]) => {
  if ((given[1] as { code?: unknown } | undefined)?.code !== 'unique-without-scope') warn.apply(process, given)
}

const option = (name: string, otherwise: string): string => {
  const i = process.argv.indexOf(`--${name}`)
  return i < 0 ? otherwise : (process.argv[i + 1] ?? otherwise)
}
const schedules = Number(option('schedules', '200'))
const first = Number(option('seed', '1'))
const steps = Number(option('steps', '300'))
const show = Number(option('show', '5'))
const topologies = option('topology', Object.keys(TOPOLOGIES).join()).split(',') as Topology[]
const database = option('database', 'sqlite') as ServerKind
const has = (name: string) => process.argv.includes(`--${name}`)
const schema = schemaNamed(option('schema', ''))
if (has('schema') && !schema) throw new Error(`There is no schema ${option('schema', '')}.`)
const wanted: Partial<Features> = {
  ...(schema && { schema }),
  ...(has('journal') && { journal: Number(option('journal', '0')) }),
  ...(has('rest') && { rest: option('rest', 'yes') === 'yes' }),
  ...(has('valid') && { valid: option('valid', 'yes') === 'yes' }),
  ...(has('again') && { again: option('again', 'yes') === 'yes' }),
  ...(has('by-collection') && { byCollection: option('by-collection', 'yes') === 'yes' }),
  ...(has('late') && { late: new Set(option('late', '').split(',')) }),
}
if (!['sqlite', 'postgres', 'mysql'].includes(database)) throw new Error(`There is no database ${database}.`)

interface Result {
  readonly seed: number
  readonly topology: Topology
  readonly problems: string[]
  readonly reached: string[]
  readonly rounds: number
}

async function runOne(seed: number, topology: Topology, trace?: (line: string) => void): Promise<Result> {
  try {
    const { problems, reached, rounds } = await history(seed, topology, trace, steps, database, wanted)
    return { seed, topology, problems, reached: [...reached], rounds }
  } catch (error) {
    const text =
      error instanceof Error
        ? /^lost /.test(error.message)
          ? error.message
          : `${error.stack}${error.cause ? `\ncause: ${(error.cause as Error).stack}` : ''}`
        : String(error)
    return { seed, topology, problems: [text], reached: [], rounds: 0 }
  }
}

async function work(): Promise<void> {
  process.once('disconnect', () => process.exit(1)) // the process that asked for it has ended
  const [index, of] = option('part', '0/1').split('/').map(Number) as [number, number]
  for (let k = index; k < schedules; k += of) {
    const topology = topologies[k % topologies.length] as Topology
    process.send?.(await runOne(first + Math.floor(k / topologies.length), topology))
  }
  process.exit(0)
}

async function lead(): Promise<void> {
  const workers = Math.min(Number(option('workers', String(availableParallelism()))), schedules)
  const start = performance.now()
  const reached = new Map<string, number>()
  let [done, failed, shown, most] = [0, 0, 0, 0]
  const progress = setInterval(
    () => console.log(`${done} of ${schedules} schedules, ${failed} failed, ${(done / ((performance.now() - start) / 1000)).toFixed(1)}/s`),
    10_000,
  )
  await Promise.all(
    Array.from({ length: workers }, (_, i) => {
      const child = fork(fileURLToPath(import.meta.url), [...process.argv.slice(2), '--part', `${i}/${workers}`], {
        execArgv: ['--enable-source-maps'],
      })
      child.on('message', message => {
        const { seed, topology, problems, reached: states, rounds } = message as Result
        done++
        most = Math.max(most, rounds)
        for (const state of states) reached.set(state, (reached.get(state) ?? 0) + 1)
        if (!problems.length) return
        failed++
        if (shown++ < show) console.log(`${topology} seed ${seed}: ${problems.slice(0, 2).join(' | ').slice(0, 1_500)}`)
      })
      return new Promise<void>((resolve, reject) =>
        child.on('exit', code => (code === 0 ? resolve() : reject(new Error(`a worker ended with ${code}`)))),
      )
    }),
  )
  clearInterval(progress)
  const seconds = (performance.now() - start) / 1000
  console.log(
    `${failed} of ${done} schedules failed (${topologies}, seeds from ${first}, ${steps} steps each), at most ${most} quiet rounds, ${(done / seconds).toFixed(1)} schedules/s`,
  )
  console.log(
    `reached: ${[...reached]
      .sort((x, y) => y[1] - x[1])
      .map(([state, count]) => `${state} ${count}`)
      .join(', ')}`,
  )
  const isOther = topologies.some(t => !hasUsers(t))
  const states = [
    ...(isOther ? STATES : []),
    ...(topologies.some(hasUsers) ? USER_STATES : []),
    ...(database === 'sqlite' ? [] : OTHER_STATES),
  ]
  const never = states.filter(state => !reached.has(state))
  if (never.length) console.log(`NEVER REACHED: ${never.join(', ')}`)
  process.exitCode = failed || done < schedules ? 1 : 0
}

if (process.argv.includes('--trace')) {
  for (const topology of topologies) if (topology in TOPOLOGIES) console.log(JSON.stringify(await runOne(first, topology, console.log)))
  process.exit(0)
} else if (process.argv.includes('--part')) await work()
else await lead()
