// How many rows fit into a page whose bytes are limited.

import { type Database, first, queryCells, quote, type Transaction } from '../../databases/database.js'
import type { Collection } from '../collections/collection.js'

/** How many rows the last page had room for, of collections whose pages end by their bytes: some databases read a value to measure it. */
const roomFor = new WeakMap<Collection, number>()

/** How many of the next rows fit, one at least, and their bytes; `fits` is undefined where all that are left fit, or where there is no limit of bytes. */
export function* countFitting(
  database: Database,
  collection: Collection,
  where: string,
  values: readonly unknown[],
  limit: number,
  bytes = Number.POSITIVE_INFINITY,
): Transaction<{ fits: number | undefined; bytes: number }> {
  const large = bytes < Number.POSITIVE_INFINITY ? collection.columns.filter(c => !isSmall(c.declared)) : []
  if (!large.length) return { fits: undefined, bytes: 0 }
  const most = Math.min(limit, roomFor.get(collection) ?? limit)
  const sizes = large.map(c => `coalesce(${database.size(`x.${quote(c.column)}`, c.declared)}, 0)`)
  const list = `SELECT ${sizes.join(' + ')} AS size FROM ${quote(collection.table.name)} x ${where}`
  const whole = yield* first(`SELECT count(*) AS found, sum(v.size) AS size FROM (${list}) v`, ...values, most + 1)
  const found = Number(whole?.found)
  if (Number(whole?.size) <= bytes) {
    if (most < limit) roomFor.set(collection, 2 * most)
    else roomFor.delete(collection)
    return { fits: found > most ? most : undefined, bytes: Number(whole?.size) }
  }
  // one by one only where it matters: a list of a thousand costs a driver more than their sum
  let [fits, sum] = [0, 0]
  for (const [size] of yield* queryCells(list, ...values, most + 1)) {
    if (fits === most || (fits > 0 && sum + Number(size) > bytes)) break
    sum += Number(size)
    fits++
  }
  roomFor.set(collection, 2 * fits)
  return { fits: fits < found ? fits : undefined, bytes: sum }
}

// Numbers, dates, and short texts: thousands of them are no matter.
const SMALL =
  /^((unsigned big |tiny|small|medium|big)?int(eger|\d)?\b|bool|real|float|double|date|time|year|uuid|money|enum|set\b|inet|cidr|macaddr|interval)|\((\d{1,3}|\d+,\d+)\)$/i

const isSmall = (declared: string) => SMALL.test(declared) && !/( array|\])$/.test(declared)
