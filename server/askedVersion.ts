// Which version of the schema a request is about, and whether it is served.

import { readSchema } from '../src/protocol/queries.js'
import { Problem, unavailable } from './problem.js'
import type { SchemaVersions } from './versions.js'

/** The version of the client; undefined where the server knows none. Throws a Problem where that is not served. */
export function askedVersion(query: Parameters<typeof readSchema>[0], versions: SchemaVersions | undefined): number | undefined {
  if (!versions) return
  const { version, oldest = 1, unnamed = 1 } = versions
  const asked = readSchema(query) ?? unnamed
  const members = { schema: version, oldest }
  // without the header Upgrade, which HTTP/2 forbids: it is not the protocol that is too old
  if (asked < oldest)
    throw new Problem(426, 'The app is too old for this server: update it. Nothing was stored; what was not pushed yet is pushed then.', {
      type: 'urn:typeorm-sync:client-too-old',
      title: 'Client too old',
      members,
    })
  if (asked > version) {
    const { status, detail, more } = unavailable(
      'The server does not know this version of the app yet. Nothing was stored; come again.',
      60,
    )
    throw new Problem(status, detail, { ...more, type: 'urn:typeorm-sync:server-too-old', title: 'Server too old', members })
  }
  return asked
}
