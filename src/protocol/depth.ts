// How deep values may be nested. Recursive functions, JSON.stringify among them, end some thousand levels further.

import type { Json } from './messages.js'

/** Levels of a value: SQLite's own limit for binary JSON. */
export const DEEPEST = 1_000

/** Not recursive, since depth is what it is about. */
export function isDeeperThan(value: Json, limit: number): boolean {
  let level: Json[] = [value]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > limit) return true
    level = level.flatMap(item => (typeof item === 'object' && item !== null ? Object.values(item) : []))
  }
  return false
}

/** The first property of a row whose value is nested too deep to be sent or compared. */
export function deepProperty(row: Readonly<Record<string, Json>>): string | undefined {
  return Object.keys(row).find(p => typeof row[p] === 'object' && row[p] !== null && isDeeperThan(row[p] as Json, DEEPEST))
}

export const TOO_DEEP = `It is nested deeper than ${DEEPEST} levels.`
