import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Random } from '../simulation/random.js'
import type { Account } from './account.js'
import type { Said } from './open.js'

const programs = new Set<Program>()
let isOver = false

/** Nothing is started any more, and what runs is killed. */
export async function endPrograms(): Promise<void> {
  isOver = true
  await Promise.all([...programs].map(each => each.kill()))
}

/** A program that runs until it is killed, and is started again. */
export class Program {
  #child: ChildProcess | undefined
  #isReady = false
  kills = 0

  constructor(
    readonly name: string,
    private readonly file: string,
    private readonly options: () => object,
    private readonly account: Account,
    private readonly random: Random,
  ) {}

  start(): void {
    if (isOver) return
    programs.add(this)
    const file = fileURLToPath(new URL(this.file, import.meta.url))
    // its input ends when the process that started it has ended
    const child = spawn(process.execPath, ['--enable-source-maps', file, JSON.stringify(this.options())], { stdio: 'pipe' })
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
    for (const deadline = Date.now() + 180_000; !this.#isReady; await wait(20)) {
      if (Date.now() > deadline || this.#child?.exitCode !== null) throw new Error(`${this.name} did not start: ${this.account.problems}`)
    }
  }

  async kill(): Promise<void> {
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const closed = once(child, 'close')
    child.kill('SIGKILL')
    this.kills++
    await closed // everything that it said was heard
  }

  async restart(): Promise<void> {
    await this.kill()
    if (this.random.chance(0.2)) await wait(this.random.next() * 500)
    this.start()
  }

  /** Kills and starts it at random moments, also while it starts, until it is stopped. */
  async live(isOver: () => boolean): Promise<void> {
    const { chance, next } = this.random
    while (!isOver()) {
      await wait(chance(0.2) ? next() * 1_000 : 1_000 + next() * 4_000)
      await this.restart()
    }
  }
}
