// Hidden columns of scopes by paths, where no trigger has filled them (databases/paths.ts).

import { type Database, first, leadsTo, query, quote, type Transaction } from '../../databases/database.js'
import type { Collection } from '../collections/collection.js'

/** Gives identities to the rows that have none. */
export function* fillIdentities({ newIdentity, pins }: Database, collections: readonly Collection[]): Transaction<void> {
  if (newIdentity === undefined) return
  for (const { table } of collections) {
    const [name, key] = [quote(table.name), quote(table.key)]
    if (table.number === undefined || !(yield* first(`SELECT 1 AS one FROM ${name} WHERE ${key} IS NULL LIMIT 1`))) continue
    yield* query(`UPDATE ${name} SET ${key} = ${newIdentity}${pins?.(table) ?? ''} WHERE ${key} IS NULL`)
  }
}

/** Rows that have the same numbers on all databases get them as identities. */
export function* shareNumbers({ text, pins }: Database, collections: readonly Collection[]): Transaction<void> {
  for (const { table, sameNumbers } of collections) {
    const [name, key, number] = [quote(table.name), quote(table.key), quote(table.number as string)]
    yield* query(`UPDATE ${name} SET ${key} = ${text(number)}${pins?.(table) ?? ''} WHERE ${number} <= ${sameNumbers}`)
  }
}

/** Fills the columns; `collections` are parents first. */
export function* fillPaths(database: Database, collections: readonly Collection[]): Transaction<void> {
  for (const { table } of collections) {
    const name = quote(table.name)
    for (const path of table.paths ?? []) {
      const { column, parent, parentColumn } = path
      const value = `(SELECT p.${quote(parentColumn)} FROM ${quote(parent)} p WHERE ${leadsTo(path, `${name}.`, 'p.')})`
      yield* query(
        `UPDATE ${name} SET ${quote(column)} = ${value}${database.pins?.(table) ?? ''} WHERE ${database.differs(`${name}.${quote(column)}`, value)}`,
      )
    }
  }
}
