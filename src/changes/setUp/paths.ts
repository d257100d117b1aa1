// Hidden columns of scopes by paths, where no trigger has filled them (databases/paths.ts).

import { type Database, leadsTo, query, quote, type Transaction } from '../../databases/database.js'
import type { Collection } from '../collections/collection.js'

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
