import type { Update } from '../../protocol/messages.js'
import type { Exchange } from '../exchange.js'

export interface Applied {
  /** Rows that were stored as the server has them, removals included. */
  stored: number
  /** Rows in which changes of both sides were put together. */
  merged: number
  /** What needs a decision. */
  readonly contested: Set<string>
  /** What is deferred. */
  readonly unapplied: Set<string>
}

export const nothingApplied = (): Applied => ({ stored: 0, merged: 0, contested: new Set(), unapplied: new Set() })

/** Updates of one collection. */
export interface Part {
  readonly exchange: Exchange
  readonly updates: readonly Update[]
  /** What becomes of them. */
  readonly applied: Applied
}
