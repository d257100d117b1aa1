// A server that knows nothing of what we added to the protocol of 2011.

import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

export type Old = Record<string, unknown> & { id: string; _lastChange: number }

/** The server that persistence.sync.js documents, as of 2011: no pages, no keys, no history id, dates in seconds, the last write wins. */
export class OldServer {
  readonly rows = new Map<string, Old>()
  readonly posts: Record<string, unknown>[][] = []
  readonly gets: string[] = []
  /** Awaited between rows and clock: such a server reads its clock when it has its rows. */
  beforeClock: (() => Promise<unknown>) | undefined
  /** Milliseconds by which its clock is off. */
  late = 0
  /** It keeps dates as whole seconds, as the server of persistence.sync.js does. */
  roundsDates = false
  /** What it answers to every POST, and stores nothing. */
  rejection: unknown
  #clock = Date.now()
  #http: Server | undefined

  tick(): number {
    this.#clock = Math.max(Date.now(), this.#clock + 1)
    return this.#clock
  }

  /** Its time, `late` or not, goes on by so much. */
  wait(milliseconds: number): void {
    this.#clock = Math.max(Date.now(), this.#clock) + milliseconds
  }

  async answer(method: string, search: URLSearchParams, body: string): Promise<unknown> {
    if (method === 'GET') {
      this.gets.push(search.toString())
      const since = Number(search.get('since') ?? 0)
      const updates = structuredClone([...this.rows.values()].filter(r => r._lastChange > since))
      await this.beforeClock?.()
      return { now: this.#clock - this.late, updates }
    }
    const posted = JSON.parse(body) as Old[]
    this.posts.push(posted)
    if (this.rejection) return this.rejection
    const now = this.tick()
    for (const row of posted) {
      const before = this.rows.get(row.id)
      if (this.roundsDates && row.at) row.at = Math.round(typeof row.at === 'string' ? Date.parse(row.at) / 1000 : Number(row.at))
      this.rows.set(row.id, { ...(row._removed || before?._removed ? {} : before), ...row, _lastChange: now })
    }
    return { status: 'ok', now }
  }

  /** The server without HTTP. */
  readonly fetch: typeof globalThis.fetch = async (input, init) => {
    const answer = await this.answer(init?.method ?? 'GET', new URL(String(input)).searchParams, String(init?.body ?? ''))
    return new Response(JSON.stringify(answer), { headers: { 'content-type': 'application/json' } })
  }

  async start(): Promise<string> {
    this.#http = createServer(async (request, response) => {
      const url = new URL(request.url ?? '/', 'http://old')
      response.setHeader('Content-Type', 'application/json')
      if (url.pathname !== '/eventChanges') return void response.writeHead(404).end()
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk)
      response.end(JSON.stringify(await this.answer(request.method ?? 'GET', url.searchParams, Buffer.concat(chunks).toString())))
    })
    this.#http.listen(0, '127.0.0.1')
    await once(this.#http, 'listening')
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`
  }

  async stop(): Promise<void> {
    this.#http?.close()
    this.#http?.closeAllConnections()
    await once(this.#http as Server, 'close')
  }
}
