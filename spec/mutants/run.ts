// Takes each remedy out of a copy of the source, one at a time, and shows who noticed (docs/how-it-works.md: the oracle is tested too).
//   npm run mutants -- [--only name,name] [--by simulation|spec] [--schedules N] [--list] [--all]
//   --by asks these finders alone, --all asks every finder of a mutant, not only until one has found it
//
// A switch in the shipped code would be shipped with it, and a user would find it. So a mutant is a text and what replaces it.

import { type ChildProcess, spawn } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Finder, Mutant } from './mutant.js'
import { mutants } from './mutants.js'

const option = (name: string): string | undefined => {
  const i = process.argv.indexOf(`--${name}`)
  return i < 0 ? undefined : process.argv[i + 1]
}
const has = (name: string) => process.argv.includes(`--${name}`)
const schedules = Number(option('schedules') ?? 300)
const SPEC_SECONDS = 240
/** A simulation that gets no further for so long hangs. */
const STUCK_SECONDS = 90

// ---------------------------------------------------------------- the copy

const root = process.cwd()

function copyTree(): string {
  const copy = mkdtempSync(join(tmpdir(), 'typeorm-sync-mutants-'))
  for (const name of readdirSync(root)) {
    if (name === 'node_modules' || name === '.git' || name === 'data' || name === 'coverage' || name.startsWith('dist')) continue
    cpSync(join(root, name), join(copy, name), { recursive: true })
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
  return copy
}

/** The mutated file's text. Throws where the list does not fit the source any more. */
function mutate(copy: string, { name, file, find, replace }: Mutant): { path: string; before: string; after: string } {
  const path = join(copy, file)
  const before = readFileSync(path, 'utf8')
  const times = before.split(find).length - 1
  if (times !== 1) throw new Error(`${name}: in ${file} stands ${times} times, not once:\n${find}`)
  const after = before.replace(find, () => replace)
  if (after === before) throw new Error(`${name} changes nothing.`)
  return { path, before, after }
}

// A spec that is not there is red as well.
function checkMutant(copy: string, mutant: Mutant): void {
  mutate(copy, mutant)
  if (!mutant.by.length) throw new Error(`Nobody looks for ${mutant.name}.`)
  for (const finder of mutant.by)
    if (!finder.startsWith('simulation') && !existsSync(join(copy, finder))) throw new Error(`${mutant.name}: there is no ${finder}.`)
}

// ---------------------------------------------------------------- finders

let child: ChildProcess | undefined
function kill(): void {
  // a worker that hangs in a loop hears nothing but this
  if (child?.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
}

interface Run {
  readonly code: number | null
  readonly output: string
  readonly isStuck: boolean
}

/** Runs a program until it ends, `isEnough` says so, or it is stuck: gives no sign of getting further for so many seconds. */
function run(
  copy: string,
  args: readonly string[],
  seconds: number,
  signOf = (_: string) => '',
  isEnough = (_: string) => false,
): Promise<Run> {
  return new Promise(resolve => {
    const started = spawn(process.execPath, args, { cwd: copy, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
    child = started
    let [output, sign, isStuck] = ['', '', false]
    const stop = () => {
      isStuck = true
      kill()
    }
    let timer = setTimeout(stop, seconds * 1000)
    const read = (chunk: Buffer) => {
      output += chunk
      if (isEnough(output)) kill()
      if (signOf(output) === sign) return
      sign = signOf(output)
      clearTimeout(timer)
      timer = setTimeout(stop, seconds * 1000)
    }
    started.stdout.on('data', read)
    started.stderr.on('data', read)
    started.on('close', code => {
      clearTimeout(timer)
      child = undefined
      resolve({ code, output, isStuck })
    })
  })
}

const bin = (name: string) => join('node_modules', name)

/** What simulations run. Type errors are the list's, not a finding: specs are run without looking at types, and without this. */
async function build(copy: string, chosen: readonly Mutant[]): Promise<string | undefined> {
  if (!chosen.some(m => m.by.some(finder => finder.startsWith('simulation')))) return
  const { code, output } = await run(copy, [bin('typescript/bin/tsc'), '-p', 'spec/mutants/tsconfig.copy.json'], SPEC_SECONDS)
  return code === 0 ? undefined : output
}

/** What the finder found; undefined where it is green. */
async function search(copy: string, finder: Finder, limit = schedules): Promise<string | undefined> {
  return finder.startsWith('simulation') ? simulate(copy, finder.split(' ')[1], limit) : runSpec(copy, finder)
}

const FAILED = /^(star|relay|two|users|users-relay|users-two) (seed \d+): (.*)$/m

async function simulate(copy: string, topology: string | undefined, limit: number): Promise<string | undefined> {
  const which = topology === undefined ? [] : ['--topology', topology]
  const args = [
    '--enable-source-maps',
    'dist-simulation/spec/simulation/simulate.js',
    '--schedules',
    String(limit),
    '--seed',
    '1',
    '--workers',
    '1',
    ...which,
  ]
  const progress = (text: string) => text.match(/\d+ of \d+ schedules, /g)?.at(-1) ?? ''
  const { code, output, isStuck } = await run(copy, args, STUCK_SECONDS, progress, text => FAILED.test(text))
  const [, where, seed, what = ''] = FAILED.exec(output) ?? []
  if (where) return `simulation, ${where} ${seed} (${what.slice(0, 100)})`
  if (isStuck) return `simulation, which hangs after ${progress(output)}`
  return code === 0 ? undefined : `simulation, which breaks: ${output.slice(-300)}`
}

interface JestResults {
  readonly testResults: readonly { message: string }[]
}

const FIRST_FAILURE = /^first failure: (.*)$/m

/** Ends with the first test that fails. */
async function runSpec(copy: string, spec: string): Promise<string | undefined> {
  const results = join(copy, 'results.json')
  rmSync(results, { force: true })
  const args = [
    '--enable-source-maps',
    bin('jest/bin/jest.js'),
    '--runInBand',
    '--forceExit',
    '--testTimeout=60000', // many a mutant makes a test wait for ever
    '--reporters=./spec/mutants/firstFailure.mjs',
    '--json',
    `--outputFile=${results}`,
    '--runTestsByPath',
    spec,
  ]
  const { code, output, isStuck } = await run(copy, args, SPEC_SECONDS, undefined, text => FIRST_FAILURE.test(text))
  const [, first] = FIRST_FAILURE.exec(output) ?? []
  if (first) return `${spec} › ${first}`
  if (isStuck) return `${spec}, which hangs`
  if (code === 0) return
  try {
    const { testResults } = JSON.parse(readFileSync(results, 'utf8')) as JestResults
    return `${spec} › ${testResults[0]?.message.slice(0, 200)}`
  } catch {
    return `${spec}, which does not even end: ${output.slice(-300)}`
  }
}

// ---------------------------------------------------------------- the work

const start = performance.now()
const elapsed = () => {
  const seconds = Math.round((performance.now() - start) / 1000)
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
}

/** Whatever is red without a mutant would find them all. */
async function checkUnmutated(copy: string, chosen: readonly Mutant[]): Promise<void> {
  const problem = await build(copy, chosen)
  if (problem) throw new Error(`The source does not compile:\n${problem}`)
  for (const finder of new Set(chosen.flatMap(m => m.by))) {
    // a finder that is asked last is seldom asked to its limit, and a whole simulation is the business of `npm run simulate`
    const found = await search(copy, finder, Math.min(schedules, 60))
    if (found) throw new Error(`Without any mutant ${finder} is red: ${found}`)
  }
  console.log(`without a mutant every finder is green (${elapsed()})`)
}

/** Everybody who found it, the first alone unless all are asked. */
async function find(copy: string, mutant: Mutant): Promise<string[]> {
  const { path, before, after } = mutate(copy, mutant)
  writeFileSync(path, after)
  try {
    const problem = await build(copy, [mutant])
    if (problem) return [`not even compiled: ${problem.slice(0, 300)}`]
    const found: string[] = []
    for (const finder of mutant.by) {
      const what = await search(copy, finder)
      if (what) found.push(what)
      else if (has('all')) found.push(`not ${finder}`)
      if (what && !has('all')) break
    }
    return found
  } finally {
    writeFileSync(path, before)
  }
}

async function lead(): Promise<void> {
  const only = option('only')?.split(',')
  for (const name of only ?? []) if (!mutants.some(m => m.name === name)) throw new Error(`There is no mutant ${name}.`)
  const by = option('by') ?? ''
  const chosen = mutants
    .filter(m => only === undefined || only.includes(m.name))
    .map(m => ({ ...m, by: m.by.filter(finder => finder.startsWith(by)) }))
    .filter(m => m.by.length > 0)
  if (has('list')) {
    for (const { name, hazard, file, by } of chosen) console.log(`${name.padEnd(34)} ${file.padEnd(36)} ${hazard} [${by.join(', ')}]`)
    return
  }
  const copy = copyTree()
  const cleanUp = () => rmSync(copy, { recursive: true, force: true })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      kill()
      cleanUp()
      process.exit(1)
    })
  }
  try {
    if (new Set(mutants.map(m => m.name)).size < mutants.length) throw new Error('Two mutants have one name.')
    for (const mutant of only ? chosen : mutants) checkMutant(copy, mutant) // the whole list fits, before hours are spent
    if (!has('unchecked')) await checkUnmutated(copy, chosen)
    const missed: string[] = []
    for (const [k, mutant] of chosen.entries()) {
      const found = await find(copy, mutant)
      const isFound = found.some(what => !what.startsWith('not '))
      if (!isFound) missed.push(mutant.name)
      console.log(
        `${k + 1} of ${chosen.length}, ${elapsed()}  ${mutant.name.padEnd(34)} ${isFound ? found.join('; ') : `NOT FOUND by ${mutant.by.join(', ')}${found.length ? ` (${found.join('; ')})` : ''}`}`,
      )
    }
    console.log(
      `${chosen.length - missed.length} of ${chosen.length} mutants found${missed.length ? `; not found: ${missed.join(', ')}` : ''}`,
    )
    process.exitCode = missed.length ? 1 : 0
  } finally {
    cleanUp()
  }
}

await lead()
