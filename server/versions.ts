// Versions of the schema: what clients of an earlier one are served (PROTOCOL.md, Versions).

import type { ChangeLog } from '../src/changes/changeLog.js'
import type { Collection } from '../src/changes/collections/collection.js'
import { SyncConfigurationError } from '../src/errors.js'
import type { Json, Update, WireRow } from '../src/protocol/messages.js'
import { readSchema } from '../src/protocol/queries.js'
import { Problem, unavailable } from './problem.js'

/** A row as it travels: its properties by their names, and its `id`. What is undefined counts as absent. */
export type VersionedRow = Readonly<Record<string, Json | undefined>>

/** How the rows of a collection became those of a version, and back. Both are pure functions of a whole row; one that is left out changes nothing. */
export interface SchemaStep {
  /** A row of the version before, as this version has it. Where it throws, the row is rejected. */
  // biome-ignore lint/suspicious/noExplicitAny: what is in a row, its author knows
  readonly up?: (row: Record<string, any>) => VersionedRow
  /** A row of this version, as the version before has it. */
  // biome-ignore lint/suspicious/noExplicitAny: what is in a row, its author knows
  readonly down?: (row: Record<string, any>) => VersionedRow
}

export interface SchemaVersions {
  /** That of the entities as they are. */
  readonly version: number
  /** The earliest that is served; 1 by default. Clients of earlier ones are answered with 426. */
  readonly oldest?: number
  /** What a client counts as that names none; 1 by default. */
  readonly unnamed?: number
  /** By version what changed with it, by the path of the collection. Additions need no step, and no version. */
  readonly steps?: Readonly<Record<number, Readonly<Record<string, SchemaStep>>>>
}

/** Throws SyncConfigurationError. */
export function checkVersions(name: string, versions: SchemaVersions | undefined): void {
  if (!versions) return
  const { version, oldest = 1, unnamed = 1, steps = {} } = versions
  const reject = (why: string): never => {
    throw new SyncConfigurationError(`${name}: ${why}`)
  }
  for (const [option, value] of Object.entries({ version, oldest, unnamed }))
    if (!Number.isSafeInteger(value) || value < 1 || value > version)
      reject(`schema.${option} has to be a whole number from 1${option === 'version' ? ' on' : ' to schema.version'}.`)
  for (const each of Object.keys(steps))
    if (!/^\d+$/.test(each) || Number(each) < 2 || Number(each) > version)
      reject(`schema.steps has a step to ${each}; there are those to 2 and on, up to schema.version.`)
}

/** The version of the client; undefined where the server knows none. Throws a Problem where that is not served. */
export function askedVersion(query: Parameters<typeof readSchema>[0], versions: SchemaVersions | undefined): number | undefined {
  if (!versions) return
  const { version, oldest = 1, unnamed = 1 } = versions
  const asked = readSchema(query) ?? unnamed
  const members = { schema: version, oldest }
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

type Steps = readonly SchemaStep[]

/** The version of a client, as rows see it. */
export class ClientVersion {
  readonly #steps = new Map<Collection, Steps>()

  /** Throws SyncConfigurationError where a step is one of no collection. */
  constructor(
    readonly version: number,
    { steps = {}, version: present }: SchemaVersions,
    { collections }: ChangeLog,
  ) {
    for (let to = 2; to <= present; to++) {
      for (const [path, step] of Object.entries(steps[to] ?? {})) {
        const collection = collections.find(c => c.paths.includes(path))
        if (!collection)
          throw new SyncConfigurationError(
            `schema.steps[${to}] is about ${path}, and no entity has this path. A step of one that is gone can go.`,
          )
        if (to > version) this.#steps.set(collection, [...(this.#steps.get(collection) ?? []), step])
      }
    }
  }

  changes(collection: Collection): boolean {
    return this.#steps.has(collection)
  }

  /** A row of the client's, as it is now. Throws what a step throws. */
  up(collection: Collection, id: string, row: WireRow): WireRow {
    return follow(this.#steps.get(collection) ?? [], step => step.up, id, row)
  }

  /** A row as the client has it. */
  down(collection: Collection, id: string, row: WireRow): WireRow {
    try {
      return follow([...(this.#steps.get(collection) ?? [])].reverse(), step => step.down, id, row)
    } catch (cause) {
      throw new Error(`The row ${id} of ${collection.entity} could not be brought down to version ${this.version} of the schema.`, {
        cause,
      })
    }
  }
}

function follow(steps: Steps, way: (step: SchemaStep) => SchemaStep['up'], id: string, row: WireRow): WireRow {
  let now: WireRow = row
  for (const step of steps) {
    const made = way(step)?.({ ...now, id })
    if (made) now = Object.fromEntries(Object.entries(made).filter((entry): entry is [string, Json] => entry[1] !== undefined))
  }
  const { id: _, ...rest } = now
  return rest
}

/** Updates as a client has them. */
export function broughtDown<U extends Update>(
  client: ClientVersion | undefined,
  collection: Collection,
  updates: readonly U[],
): readonly U[] {
  if (!client?.changes(collection)) return updates
  return updates.map(update => (update.value ? { ...update, value: client.down(collection, update.id, update.value) } : update))
}
