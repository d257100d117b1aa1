// Sign-in for a few users, as simple as it can be. A product keeps passwords as hashes, limits how often one may try, and keeps tokens longer than a
// process lives; or it leaves all that to a service, whose tokens `principal` verifies (docs/users.md).

import { randomBytes } from 'node:crypto'
import type { Middleware } from 'koa'
import type { FindPrincipal } from 'typeorm-sync/server-koa'
import type { User } from './users.js'

export interface SignIn {
  /** `POST /signIn` with `{"name": "alice", "password": "apple"}` answers a token, as a text. */
  readonly route: Middleware
  /** Whose token a request has. */
  readonly principal: FindPrincipal
}

const LIFETIME = 60 * 60 * 1000
const LONGEST_BODY = 1_000

export function signIn(users: readonly User[]): SignIn {
  const tokens = new Map<string, { readonly name: string; readonly until: number }>()

  const route: Middleware = async (ctx, next) => {
    if (ctx.path !== '/signIn' || ctx.method !== 'POST') return next()
    const { name, password } = await readJson(ctx.req)
    const user = users.find(u => u.name === name && u.password === password)
    ctx.type = 'text/plain'
    if (!user) {
      ctx.status = 401
      ctx.body = 'There is no such user, or the password is another one.'
      return
    }
    for (const [token, { until }] of tokens) if (until < Date.now()) tokens.delete(token)
    const token = randomBytes(32).toString('base64url')
    tokens.set(token, { name: user.name, until: Date.now() + LIFETIME })
    ctx.body = token
  }

  const principal: FindPrincipal = ctx => {
    const known = tokens.get(ctx.get('Authorization').replace(/^Bearer /, ''))
    return known && known.until > Date.now() ? { id: known.name } : undefined // undefined: 401
  }

  return { route, principal }
}

/** An empty object where it is none. */
async function readJson(body: AsyncIterable<Buffer>): Promise<{ name?: unknown; password?: unknown }> {
  let text = ''
  for await (const chunk of body) if (text.length <= LONGEST_BODY) text += chunk
  try {
    return text.length <= LONGEST_BODY ? Object(JSON.parse(text)) : {}
  } catch {
    return {}
  }
}
