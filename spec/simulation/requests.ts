// Requests on their way, and the rows that they and their answers carry.

import type { Collection } from '../../src/changes/collections/collection.js'
import type { Value } from './oracle.js'

export interface Request {
  readonly server: string
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly headers: Record<string, string>
  readonly body: string | undefined
  /** The tokens of the removals that it has. */
  readonly removals: ReadonlyMap<string, string>
  /** What the sender has of each row, or its removal: that is what its removals speak for. */
  readonly sees: ReadonlyMap<string, Value>
  readonly from: string
}

export interface Answer {
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: string
}

/** Rows as they travel, of a feed or of one collection. */
export interface Groups {
  readonly updates?: Record<string, unknown>[]
  readonly changes?: Record<string, Record<string, unknown>[]>
}

export const updatesOf = ({ updates, changes }: Groups) => updates ?? Object.values(changes ?? {}).flat()

export function groupsOf(body: string | undefined, path: string): Map<string, Record<string, unknown>[]> {
  const json = JSON.parse(body ?? '[]')
  return new Map(Array.isArray(json) ? [[path.replace(/[?].*/, ''), json]] : Object.entries(json.changes))
}

export const postedRows = (body: string | undefined) => [...groupsOf(body, '').values()].flat()

export const pathOf = ({ name, isLink, paths }: Collection) => (isLink ? (paths[0] as string) : `/${name}s`)
