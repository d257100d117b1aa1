// Versions of the schema: what clients of an earlier one are served (PROTOCOL.md, Versions).

import { SyncConfigurationError } from '../src/errors.js'

/** A row as it travels: its properties by their names, and its `id`. What is undefined counts as absent. */
export type VersionedRow = Readonly<Record<string, unknown>>

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
