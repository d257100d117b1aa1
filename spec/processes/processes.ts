// Real processes on real files, killed at random moments and started again: a server, two clients with a file each, and two that share one.
//   npm run processes -- [--seconds 300] [--seed N] [--round SECONDS]

import 'reflect-metadata'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { DataSource } from 'typeorm'
import { hasLocalChanges, syncAll } from '../../src/entity/syncAll.js'
import { type Edit, Ledger } from '../crash/ledger.js'
import { Random } from '../simulation/random.js'
import { open, type Place, type Said } from './open.js'
import { watchingHandler } from './watch.js'

const option = (name: string, otherwise: string): string => {
  const i = process.argv.indexOf(`--${name}`)
  return i < 0 ? otherwise : (process.argv[i + 1] ?? otherwise)
}
const seconds = Number(option('seconds', '300'))
const seed = Number(option('seed', String(Date.now() % 1e9)))
const roundSeconds = Number(option('round', '20'))
const random = new Random(seed)
const wait = (milliseconds: number) => new Promise<void>(resolve => setTimeout(resolve, milliseconds))

/** What was said by everybody in a round. */
class Account {
  readonly ledger = new Ledger()
  readonly problems: string[] = []
  readonly counts: Record<string, number> = {}
  readonly #edits = new Map<string, Edit>()
  readonly #removals = new Set<string>()

  hear(said: Said): void {
    const count = said.said === 'failed' ? `failed: ${said.code}` : said.said
    this.counts[count] = (this.counts[count] ?? 0) + (said.said === 'stored' ? said.tokens.length : 1)
    if (said.said === 'begins')
      for (const { row, property, token, before } of said.edits) this.#edits.set(token, this.ledger.note(row, property, token, before))
    if (said.said === 'stored') for (const token of said.tokens) (this.#edits.get(token) as Edit).isAcknowledged = true
    if (said.said === 'seen') {
      this.ledger.see(said.tokens)
      for (const row of said.removals) this.#removals.add(row)
    }
    if (said.said === 'problem') this.problems.push(said.text)
  }

  /** What a handler was shown as removed; whose removal it was the database does not say. */
  seeRemovals(): void {
    for (const row of this.#removals) this.ledger.see(this.ledger.removalsOf(row))
  }
}

/** A program that runs until it is killed, and is started again. */
class Program {
  #child: ChildProcess | undefined
  #isReady = false
  kills = 0

  constructor(
    readonly name: string,
    private readonly file: string,
    private readonly options: () => readonly string[],
    private readonly account: Account,
  ) {}

  start(): void {
    const child = spawn(process.execPath, ['--enable-source-maps', fileURLToPath(new URL(this.file, import.meta.url)), ...this.options()], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child = child
    this.#isReady = false
    createInterface({ input: child.stdout }).on('line', line => {
      let said: Said
      try {
        said = JSON.parse(line)
      } catch {
        return // half a line: it was killed while it said so
      }
      if (said.said === 'ready') this.#isReady = true
      this.account.hear(said)
    })
    let errors = ''
    child.stderr.on('data', data => {
      errors += data
    })
    child.on('exit', (code, signal) => {
      if (signal !== 'SIGKILL') this.account.problems.push(`${this.name} ended by itself (${code ?? signal}): ${errors.slice(0, 2_000)}`)
    })
  }

  async ready(): Promise<void> {
    for (const deadline = Date.now() + 30_000; !this.#isReady; await wait(20)) {
      if (Date.now() > deadline || this.#child?.exitCode !== null) throw new Error(`${this.name} did not start: ${this.account.problems}`)
    }
  }

  async kill(): Promise<void> {
    const child = this.#child as ChildProcess
    if (child.exitCode !== null || child.signalCode !== null) return
    const closed = once(child, 'close')
    child.kill('SIGKILL')
    this.kills++
    await closed // everything that it said was heard
  }

  /** Kills and starts it at random moments, also while it starts, until told to stop. */
  async live(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      await wait(random.chance(0.2) ? random.next() * 1_000 : 1_000 + random.next() * 4_000)
      await this.kill()
      if (random.chance(0.2)) await wait(random.next() * 500)
      this.start()
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function round(number: number, milliseconds: number): Promise<Account & { kills: number }> {
  const folder = mkdtempSync(join(tmpdir(), 'sync-processes-'))
  const account = new Account()
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const enableWAL = number % 2 === 0
  const place = (name: string): Place => ({ file: join(folder, `${name}.db`), enableWAL })
  const places = { server: place('server'), one: place('one'), two: place('two'), shared: place('shared') }
  const opened: DataSource[] = []
  const programs: Program[] = []
  try {
    // what a migration would do
    for (const [name, each] of Object.entries(places)) await (await open(each, name === 'server' ? {} : { server: url }, true)).destroy()
    const argsOf = ({ file }: Place) => [file, String(enableWAL)]
    const server = new Program('server', './server.js', () => [...argsOf(places.server), String(port)], account)
    let starts = 0
    const client = (name: string, of: Place) =>
      new Program(name, './client.js', () => [...argsOf(of), url, name, String(seed + number * 1_000 + starts++)], account)
    programs.push(
      server,
      client('one', places.one),
      client('two', places.two),
      client('left', places.shared),
      client('right', places.shared),
    )
    for (const each of programs) each.start()
    for (const each of programs) await each.ready()
    const end = Date.now() + milliseconds
    await Promise.all(programs.map(each => each.live(() => Date.now() > end)))
    for (const each of programs) await each.kill()

    server.start()
    await server.ready()
    const clients = await Promise.all([places.one, places.two, places.shared].map(p => open(p, { server: url, retries: 2 })))
    opened.push(...clients)
    await settle(clients, account)
    await server.kill()
    opened.push(await open(places.server))
    await check(opened, account)
    return Object.assign(account, { kills: programs.reduce((sum, p) => sum + p.kills, 0) })
  } finally {
    for (const each of programs) await each.kill().catch(() => {})
    for (const each of opened) if (each.isInitialized) await each.destroy()
    if (account.problems.length) console.log(`the databases of this round are kept in ${folder}`)
    else rmSync(folder, { recursive: true, force: true })
  }
}

async function settle(clients: readonly DataSource[], account: Account): Promise<void> {
  for (let i = 0; i < 12; i++) {
    let moved = false
    for (const each of clients) {
      const { pulled, pushed, merged, conflicts, waiting, refused } = await syncAll(
        each,
        watchingHandler(each, said => account.hear(said), random.chance),
      )
      moved ||= pulled + pushed + merged + conflicts + waiting + refused > 0
    }
    if (!moved) return
  }
  account.problems.push('not quiet after 12 rounds')
}

async function check(databases: readonly DataSource[], account: Account): Promise<void> {
  const problem = (text: string) => account.problems.push(text)
  const tables = ['item', 'part']
  const finals = new Map<string, Record<string, unknown>>()
  let expected: string | undefined
  for (const each of databases) {
    const name = String(each.options.database)
    const rows: unknown[] = []
    for (const table of tables) {
      for (const { _lastChange, ...row } of await each.query(`SELECT * FROM ${table} ORDER BY id`)) {
        rows.push([table, row])
        finals.set(`${table} ${row.id}`, row)
      }
    }
    const found = JSON.stringify(rows)
    expected ??= found
    if (found !== expected) problem(`${name} differs from ${databases[0]?.options.database}`)
    if (await hasLocalChanges(each)) problem(`${name} has local changes left`)
    for (const { name: table } of await each.query(
      `SELECT name FROM sqlite_master WHERE name LIKE 'sync_image%' AND type = 'table' OR name IN ('sync_conflict', 'sync_rejection', 'sync_seen')`,
    )) {
      const left = await each.query(`SELECT * FROM "${table}"`)
      if (left.length) problem(`${name} has ${table} left: ${JSON.stringify(left).slice(0, 500)}`)
    }
    if ((await each.query('PRAGMA integrity_check'))[0].integrity_check !== 'ok') problem(`${name} is corrupt`)
    if ((await each.query('PRAGMA foreign_key_check')).length) problem(`${name} has orphans`)
    if ((await each.query('SELECT 1 FROM sync_clock WHERE step IS NOT NULL')).length) problem(`${name} has a step open`)
  }
  account.seeRemovals()
  for (const { row, property, token } of account.ledger.lost(finals))
    problem(`lost ${token}, ${property ?? 'the removal'} of ${row}: ${JSON.stringify(finals.get(row))}`)
}

const start = Date.now()
const total: Record<string, number> = {}
let [rounds, kills, failed] = [0, 0, 0]
for (; Date.now() - start < seconds * 1000; rounds++) {
  const left = seconds * 1000 - (Date.now() - start)
  const account = await round(rounds, Math.max(1_000, Math.min(roundSeconds * 1000, left - 4_000)))
  kills += account.kills
  for (const [name, count] of Object.entries(account.counts)) total[name] = (total[name] ?? 0) + count
  if (account.problems.length) failed++
  for (const text of account.problems.slice(0, 8)) console.log(`round ${rounds}: ${text.slice(0, 1_500)}`)
  if (account.problems.length > 8) console.log(`round ${rounds}: and ${account.problems.length - 8} more`)
}
const { stored = 0, ...others } = total
console.log(
  `${rounds - failed} of ${rounds} rounds held: ${kills} kills, ${stored} acknowledged edits (seed ${seed}; ${JSON.stringify(others)})`,
)
process.exit(failed || !stored || !kills ? 1 : 0)
