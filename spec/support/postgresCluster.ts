// PostgreSQL servers of our own in temporary folders: a primary, and standbys that stream from it.

import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, closeSync, existsSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Client } from 'pg'
import { freePort } from './freePort.js'

const PROGRAMS = ['initdb', 'postgres', 'pg_ctl', 'pg_basebackup']

/** Where PostgreSQL's programs are, and as whom they run; undefined where they are not to be had. */
export interface Binaries {
  readonly folder: string
  /** PostgreSQL does not run as root. */
  readonly user?: { readonly uid: number; readonly gid: number }
}

const output = (program: string, ...args: string[]): string | undefined => {
  try {
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return undefined
  }
}

function packaged(): string[] {
  const root = '/usr/lib/postgresql'
  const versions = existsSync(root) ? readdirSync(root) : []
  return versions.sort((a, b) => Number(b) - Number(a)).map(version => join(root, version, 'bin'))
}

export function findBinaries(): Binaries | undefined {
  const folders = [process.env.PGBIN, output('pg_config', '--bindir'), ...(process.env.PATH ?? '').split(delimiter), ...packaged()]
  const folder = folders.find(f => f && PROGRAMS.every(program => existsSync(join(f, program))))
  if (!folder) return
  if (process.getuid?.() !== 0) return { folder }
  const [uid, gid] = [output('id', '-u', 'postgres'), output('id', '-g', 'postgres')]
  return uid && gid ? { folder, user: { uid: Number(uid), gid: Number(gid) } } : undefined
}

const running = new Set<PostgresCluster>()
process.once('exit', () => {
  for (const each of running) each.abandon()
})

export class PostgresCluster {
  #child: ChildProcess | undefined
  #guard: ChildProcess | undefined

  private constructor(
    private readonly binaries: Binaries,
    private readonly folder: string,
    private readonly port: number,
  ) {}

  /** A new primary, running. */
  static async make(binaries: Binaries): Promise<PostgresCluster> {
    const cluster = await PostgresCluster.#prepare(binaries)
    return cluster.#startOrRemove(() =>
      cluster.#run('initdb', '-D', cluster.#data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'),
    )
  }

  /** A standby that streams from this one, running. */
  async makeStandby(): Promise<PostgresCluster> {
    const standby = await PostgresCluster.#prepare(this.binaries)
    return standby.#startOrRemove(() =>
      standby.#run('pg_basebackup', '-d', this.url('postgres'), '-D', standby.#data, '-R', '-X', 'stream', '-c', 'fast', '--no-sync'),
    )
  }

  static async #prepare(binaries: Binaries): Promise<PostgresCluster> {
    const folder = mkdtempSync(join(tmpdir(), 'sync-postgres-'))
    if (binaries.user) chownSync(folder, binaries.user.uid, binaries.user.gid)
    const cluster = new PostgresCluster(binaries, folder, await freePort())
    running.add(cluster)
    return cluster
  }

  async #startOrRemove(fill: () => Promise<unknown>): Promise<this> {
    try {
      await fill()
      await this.start()
    } catch (error) {
      await this.remove()
      throw error
    }
    return this
  }

  get #data(): string {
    return join(this.folder, 'data')
  }

  get #as() {
    return { cwd: this.folder, ...this.binaries.user }
  }

  #run(program: string, ...args: string[]): Promise<unknown> {
    return promisify(execFile)(join(this.binaries.folder, program), args, this.#as)
  }

  url(database: string): string {
    return `postgres://postgres@127.0.0.1:${this.port}/${database}`
  }

  async start(): Promise<void> {
    const settings = {
      port: this.port,
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      wal_level: 'replica',
      hot_standby: 'on',
      wal_keep_size: '256MB',
      max_connections: 100,
      shared_buffers: '32MB',
      wal_retrieve_retry_interval: '200ms',
      fsync: 'off', // processes are killed, the machine is not
    }
    const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    const log = openSync(join(this.folder, 'log'), 'a')
    const child = spawn(join(this.binaries.folder, 'postgres'), ['-D', this.#data, ...args], { ...this.#as, stdio: ['ignore', log, log] })
    closeSync(log)
    this.#child = child
    this.#guard = guard(child, this.folder)
    for (const deadline = Date.now() + 60_000; ; await wait(100)) {
      if (child.exitCode !== null || Date.now() > deadline) throw new Error(`PostgreSQL did not start: ${this.#tail()}`)
      const isReady = await this.query('SELECT 1').then(
        () => true,
        () => false,
      )
      if (isReady) return
    }
  }

  #tail(): string {
    return readFileSync(join(this.folder, 'log'), 'utf8').slice(-2_000)
  }

  async query(sql: string, values: unknown[] = [], database = 'postgres'): Promise<Record<string, unknown>[]> {
    const client = new Client({ connectionString: this.url(database), connectionTimeoutMillis: 10_000 })
    // a connection that is ended from outside
    client.on('error', () => {})
    await client.connect()
    try {
      return (await client.query(sql, values)).rows
    } finally {
      await client.end().catch(() => {})
    }
  }

  /** Resolves when this standby shows all that the primary has committed until now. */
  async catchUp(primary: PostgresCluster): Promise<void> {
    const [row] = await primary.query('SELECT pg_current_wal_lsn() AS place')
    for (const deadline = Date.now() + 30_000; ; await wait(20)) {
      const [has] = await this.query('SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS all', [row?.place])
      if (has?.all) return
      if (Date.now() > deadline) throw new Error('The standby did not catch up.')
    }
  }

  /** Cuts a standby off from its primary: nothing more arrives, and what did arrive is still there. */
  async disconnect(): Promise<void> {
    await this.query("ALTER SYSTEM SET primary_conninfo = ''")
    await this.query('SELECT pg_reload_conf()')
    for (const deadline = Date.now() + 20_000; ; await wait(50)) {
      const [row] = await this.query('SELECT count(*) AS receivers FROM pg_stat_wal_receiver')
      if (row?.receivers === '0') return
      if (Date.now() > deadline) throw new Error('The standby still receives.')
    }
  }

  async promote(): Promise<void> {
    await this.#run('pg_ctl', 'promote', '-D', this.#data, '-w', '-t', '60')
  }

  /** At once, as in a crash. */
  async stop(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    this.#guard?.kill('SIGKILL')
    this.#guard = undefined
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGQUIT')
    await exited
  }

  async remove(): Promise<void> {
    await this.stop()
    this.#removeFolder()
  }

  /** Where nothing can be waited for. */
  abandon(): void {
    this.#child?.kill('SIGQUIT')
    this.#removeFolder()
  }

  #removeFolder(): void {
    running.delete(this)
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
  }
}

/** Ends the server, and removes its folder, when this process is killed and can do neither: the guard's input ends with us. */
function guard(server: ChildProcess, folder: string): ChildProcess {
  const script = 'read -r _; kill -QUIT "$1"; sleep 1; rm -rf "$2"'
  const child = spawn('sh', ['-c', script, 'sh', String(server.pid), folder], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  child.on('error', () => {})
  child.unref()
  ;(child.stdin as Socket).unref()
  return child
}
