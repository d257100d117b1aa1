// The rows of a client of another version of the schema.

import type { ChangeLog } from '../src/changes/changeLog.js'
import type { Collection } from '../src/changes/collections/collection.js'
import { SyncConfigurationError } from '../src/errors.js'
import type { Json, Update, WireRow } from '../src/protocol/messages.js'
import type { SchemaStep, SchemaVersions } from './versions.js'

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
