// Several servers on one database behind a load balancer, and many clients: servers and clients are killed, connections cut, the replica falls behind.

import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { DataSource } from 'typeorm'
import type { Random } from '../simulation/random.js'
import { freePort } from '../support/freePort.js'
import { Account } from './account.js'
import { check, syncUntilQuiet } from './check.js'
import { keepFolder, removeFolder, temporaryFolder } from './folder.js'
import { LoadBalancer, type Target } from './loadBalancer.js'
import { type ClientOrders, type FilePlace, type Habits, open, type ServerOrders, type SharedPlace } from './open.js'
import { Program } from './program.js'
import type { Shared } from './shared.js'

const HABITS: Habits = { pause: 400, timeout: 10_000, own: 0.3, families: 0.3, crowd: 30 }
const PER_PROCESS = 5

export interface Team {
  readonly milliseconds: number
  readonly clients: number
  readonly seed: number
}

export async function teamRound(shared: Shared, team: Team, random: Random): Promise<Account & { kills: number }> {
  const folder = temporaryFolder()
  const account = new Account()
  const opened: DataSource[] = []
  const servers: Program[] = []
  const clients: Program[] = []
  const targets: Target[] = []
  let balancer: LoadBalancer | undefined
  try {
    await shared.clear()
    // what a migration would do
    await (await open(shared.primary, {}, true)).destroy()
    await shared.catchUp()
    const addServer = async (name: string, place: SharedPlace, isReplica: boolean) => {
      const port = await freePort()
      targets.push({ name, port, isReplica })
      servers.push(new Program(name, './server.js', (): ServerOrders => ({ place, port }), account, random))
    }
    await addServer('first server', shared.primary, false)
    await addServer('second server', shared.primary, false)
    if (shared.replica) await addServer('replica', shared.replica, true)
    balancer = new LoadBalancer(targets, account, random)
    const url = await balancer.listen()

    const places: { name: string; place: FilePlace }[] = []
    for (let i = 0; i < team.clients; i++) {
      const place = { file: join(folder, `client${i}.db`), enableWAL: i % 2 === 0 }
      await (await open(place, { server: url }, true)).destroy()
      places.push({ name: `client${i}`, place })
    }
    let starts = 0
    for (let i = 0; i < places.length; i += PER_PROCESS) {
      const some = places.slice(i, i + PER_PROCESS)
      const orders = (): ClientOrders => ({ server: url, seed: team.seed + starts++, places: some, habits: HABITS })
      clients.push(new Program(some.map(p => p.name).join(', '), './client.js', orders, account, random))
    }
    for (const each of [...servers, ...clients]) each.start()
    for (const each of [...servers, ...clients]) await each.ready()

    await disturb({ shared, team, servers, clients, targets, account, random })

    for (const each of clients) await each.kill()
    balancer.faults = 0
    await balancer.quiet()
    for (const each of servers) await each.ready()
    const sources = await Promise.all(places.map(({ place }) => open(place, { server: url, retries: 5 })))
    opened.push(...sources)
    await syncUntilQuiet(sources, account, random, shared.catchUp)
    await balancer.quiet()
    await wait(2_100)
    if (await shared.hasOpenTransaction()) account.problems.push('a server left a transaction open')
    await checkHealth(targets, account, true)
    for (const each of servers) await each.kill()
    opened.push(await open(shared.primary))
    if (shared.replica) opened.push(await open(shared.replica))
    await check(opened, account)
    return Object.assign(account, { kills: [...servers, ...clients].reduce((sum, p) => sum + p.kills, 0) })
  } finally {
    for (const each of [...clients, ...servers]) await each.kill().catch(() => {})
    balancer?.close()
    for (const each of opened) if (each.isInitialized) await each.destroy()
    if (account.problems.length) keepFolder(folder)
    else removeFolder(folder)
  }
}

interface Disturbed {
  readonly shared: Shared
  readonly team: Team
  readonly servers: readonly Program[]
  readonly clients: readonly Program[]
  readonly targets: readonly Target[]
  readonly account: Account
  readonly random: Random
}

async function disturb({ shared, team, servers, clients, targets, account, random }: Disturbed): Promise<void> {
  const { chance, next, pick } = random
  const end = Date.now() + team.milliseconds
  const nowAndThen = async (least: number, most: number, act: () => Promise<unknown>) => {
    for (;;) {
      const pause = least + next() * (most - least)
      if (Date.now() + pause > end) return
      await wait(pause)
      await act()
    }
  }
  const kill = async (kind: string, programs: readonly Program[]) => {
    // also one that is starting, but seldom: else most of the time none would run
    if (!chance(0.2)) for (const each of programs) await each.ready()
    await pick(programs).restart()
    account.count(`killed: ${kind}`)
  }
  await Promise.all([
    nowAndThen(1_000, 5_000, () => kill('server', servers)),
    nowAndThen(2_000, 6_000, () => kill('clients', clients)),
    nowAndThen(100, 1_500, async () => {
      if (await shared.endConnection(ids => pick(ids))) account.count('connections ended')
    }),
    nowAndThen(1_000, 5_000, async () => {
      if (!shared.replica) return
      await shared.lag(true)
      await wait(200 + next() * 2_500)
      await shared.lag(false)
      account.count('lag pauses')
    }),
    nowAndThen(500, 2_000, () => checkHealth(targets, account, false)),
  ])
}

async function checkHealth(targets: readonly Target[], account: Account, mustAnswer: boolean): Promise<void> {
  for (const { name, port, isReplica } of targets) {
    try {
      const answer = await fetch(`http://127.0.0.1:${port}/health`, { signal: AbortSignal.timeout(15_000) })
      const text = await answer.text()
      account.count(`health: ${answer.status}`)
      if (answer.status === 200 ? JSON.parse(text).replica !== isReplica : answer.status !== 503 || mustAnswer)
        account.problems.push(`the health of the ${name} is ${answer.status} ${text.slice(0, 300)}`)
    } catch (error) {
      // it was killed, or is starting
      if (mustAnswer) account.problems.push(`the ${name} does not say how it is: ${error}`)
    }
  }
}
