// A load balancer that loses connections: questions go to every server in turn, pushes to those that can write.

import { once } from 'node:events'
import { Agent, createServer, type IncomingHttpHeaders, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { setTimeout as wait } from 'node:timers/promises'
import type { Random } from '../simulation/random.js'
import type { Account } from './account.js'

export interface Target {
  readonly name: string
  readonly port: number
  readonly isReplica: boolean
}

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

// before: it never leaves; late: it arrives when no client waits any more; lost: its answer does not arrive; half: half of the answer does
const FAULTS = ['before', 'late', 'lost', 'half'] as const
type Fault = (typeof FAULTS)[number]

export class LoadBalancer {
  /** How often a connection is cut. */
  faults = 0.08
  readonly #server: Server
  readonly #agent = new Agent({ keepAlive: true })
  readonly #under = new Set<Promise<void>>()
  #turn = 0

  constructor(
    private readonly targets: readonly Target[],
    private readonly account: Account,
    private readonly random: Random,
  ) {
    this.#server = createServer((incoming, outgoing) => {
      const work = this.#serve(incoming, outgoing).catch(() => void outgoing.destroy())
      this.#under.add(work)
      void work.finally(() => this.#under.delete(work))
    })
  }

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Resolves when no request is under way any more, also of those that come late. */
  async quiet(): Promise<void> {
    while (this.#under.size) await Promise.all(this.#under)
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
    this.#agent.destroy()
  }

  async #serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const body = await buffer(incoming)
    const fault = this.random.chance(this.faults) ? this.random.pick(FAULTS) : undefined
    if (fault) this.account.count(`cut: ${fault}`)
    if (fault === 'before' || fault === 'late') outgoing.destroy()
    if (fault === 'before') return
    if (fault === 'late') await wait(this.random.next() * 3_000)
    const answer = await this.#askAnybody(incoming, body)
    if (fault === 'late') return
    if (answer) this.#send(answer, outgoing, fault)
    else outgoing.writeHead(502).end()
  }

  #send({ status, headers, body }: Answer, outgoing: ServerResponse, fault: Fault | undefined): void {
    if (fault === 'lost') return void outgoing.destroy()
    const { connection, 'transfer-encoding': _, ...others } = headers
    outgoing.writeHead(status, status === 304 ? others : { ...others, 'content-length': body.length })
    if (fault !== 'half') return void outgoing.end(body)
    // the head has to have left
    outgoing.flushHeaders()
    outgoing.write(body.subarray(0, body.length / 2), () => outgoing.destroy())
  }

  /** The next server in turn that is there; undefined where none is. Throws where one went away with the request. */
  async #askAnybody(incoming: IncomingMessage, body: Buffer): Promise<Answer | undefined> {
    const able = this.targets.filter(target => incoming.method !== 'POST' || !target.isReplica)
    const turn = this.#turn++
    for (let i = 0; i < able.length; i++) {
      const target = able[(turn + i) % able.length] as Target
      try {
        const answer = await this.#ask(target, incoming, body)
        if (target.isReplica) this.#checkReplica(answer, incoming)
        return answer
      } catch (error) {
        // what never arrived may be sent to another one
        if ((error as { code?: string }).code === 'ECONNREFUSED') continue
        this.account.count(`broken: ${target.name}`)
        throw error
      }
    }
    this.account.count('no server')
    return
  }

  #ask({ port }: Target, { method, url, headers }: IncomingMessage, body: Buffer): Promise<Answer> {
    const { connection, ...others } = headers
    return new Promise((resolve, reject) => {
      const outgoing = request({ host: '127.0.0.1', port, method, path: url, headers: others, agent: this.#agent })
      outgoing.on('error', reject)
      outgoing.on('response', answer => {
        buffer(answer).then(whole => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: whole }), reject)
      })
      outgoing.end(body)
    })
  }

  #checkReplica({ status, body }: Answer, { url }: IncomingMessage): void {
    this.account.count(`replica: ${status}`)
    const text = body.toString()
    if (![200, 304, 503].includes(status)) this.account.problems.push(`the replica answered ${status} to ${url}: ${text.slice(0, 500)}`)
    if (status === 200 && 'reset' in JSON.parse(text)) this.account.problems.push(`the replica answered with a reset to ${url}`)
  }
}
