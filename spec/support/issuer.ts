// A service that signs JSON Web Tokens, as docs/users.md has one.

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'

export interface Issuer {
  readonly url: string
  /** A token for a user of the lists; `until` is a time, or a span such as `5m`. */
  sign(user: string, until?: string | number): Promise<string>
  stop(): void
}

export async function startIssuer(): Promise<Issuer> {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const key = { ...(await exportJWK(publicKey)), kid: 'one', alg: 'ES256' }
  const server = createServer((request, response) => {
    response.statusCode = request.url === '/.well-known/jwks.json' ? 200 : 404
    response.setHeader('Content-Type', 'application/json').end(JSON.stringify({ keys: [key] }))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url,
    sign: (user, until = '5m') =>
      new SignJWT()
        .setProtectedHeader({ alg: 'ES256', kid: 'one' })
        .setSubject(user)
        .setIssuer(url)
        .setAudience('lists')
        .setExpirationTime(until)
        .sign(privateKey),
    stop: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}
