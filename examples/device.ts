// A device: a sql.js database in memory that is kept in a file, and an eye on what it sends.

import { DataSource } from 'typeorm'
import { withSync } from 'typeorm-sync'
import { ENTITIES } from './model.js'
import type { User } from './users.js'

/** A request as it went over the wire. Sizes are those of the bodies, unzipped. */
export interface Seen {
  readonly method: string
  readonly url: URL
  readonly rowsUp: number
  readonly bytesUp: number
  /** 0: no answer came. */
  readonly status: number
  readonly rowsDown: number
  readonly bytesDown: number
  /** It is a repeated push, and the server has given the answer of the first one. */
  readonly replayed: boolean
}

export interface DeviceOptions {
  readonly file: string
  readonly server: string
  readonly onRequest: (seen: Seen) => void
  /** Who is signed in: their name and password, for as long as the app runs. */
  readonly user: () => User
  /** The network, for those who want to see it fail. */
  readonly send?: typeof fetch
}

/** Opens the database in the file, or a new one. With `autoSave` each write is in the file when its promise resolves. */
export function openDevice({ file, server, onRequest, user, send = fetch }: DeviceOptions): Promise<DataSource> {
  const dataSource = new DataSource({ type: 'sqljs', location: file, autoSave: true, entities: ENTITIES, synchronize: true })
  let signedIn: { user: User; token: string } | undefined
  // asked before each request, and once more, with `renew`, after a 401: the token has expired
  const headers = async ({ renew }: { renew: boolean }) => {
    if (renew || signedIn?.user !== user()) signedIn = { user: user(), token: await signIn(server, user()) }
    return { Authorization: `Bearer ${signedIn.token}` }
  }
  // no retries, so that what is printed is what one try did
  return withSync(dataSource, { server, retries: 0, headers, fetch: watched(send, onRequest) }).initialize()
}

async function signIn(server: string, { name, password }: User): Promise<string> {
  const response = await fetch(`${server}/signIn`, { method: 'POST', body: JSON.stringify({ name, password }) })
  if (!response.ok) throw new Error(`${name} cannot sign in: ${await response.text()}`)
  return response.text()
}

function watched(send: typeof fetch, onRequest: (seen: Seen) => void): typeof fetch {
  return async (input, init) => {
    const body = typeof init?.body === 'string' ? init.body : ''
    const asked = { method: init?.method ?? 'GET', url: new URL(String(input)), rowsUp: countRows(body), bytesUp: Buffer.byteLength(body) }
    try {
      const response = await send(input, init)
      const text = await response.clone().text()
      onRequest({
        ...asked,
        status: response.status,
        rowsDown: countRows(text),
        bytesDown: Buffer.byteLength(text),
        replayed: response.headers.get('idempotency-replayed') === 'true',
      })
      return response
    } catch (error) {
      onRequest({ ...asked, status: 0, rowsDown: 0, bytesDown: 0, replayed: false })
      throw error
    }
  }
}

/** The feed has rows as `changes`, by entity. */
function countRows(text: string): number {
  try {
    const { changes = {} } = JSON.parse(text) as { changes?: Record<string, unknown[]> }
    return Object.values(changes).flat().length
  } catch {
    return 0
  }
}
