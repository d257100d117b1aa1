// The id of a row whose key has several columns, or is a number that the application gives: their texts, joined by slashes. In a text `~` is `~0` and `/`
// is `~1`, as in a JSON Pointer (RFC 6901), so that no two keys have one id. Every kind of database makes the same text of the same key.

import type { DataSource, EntityMetadata } from 'typeorm'
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js'
import { isNumber } from './identities.js'

/** The hidden column that holds the id; the database generates it. */
export const KEY_COLUMN = '_sync_key'

const INTEGER = /^((tiny|small|medium|big|unsigned big )?int(eger)?|int[248])$/i

export const isInteger = (column: ColumnMetadata) => INTEGER.test(column.entityMetadata.dataSource.driver.normalizeType(column))

/** Are rows told apart by an id that is made of the key? Of a key of one text they are told apart by this, of one that the database counts by an identity. */
export const hasMadeId = ({ primaryColumns: [key, ...more] }: EntityMetadata) =>
  key !== undefined && (more.length > 0 || (!isNumber(key) && isInteger(key)))

/** The texts of the key's columns; undefined where a text is no id of so many. */
export function splitId(id: string, count: number): string[] | undefined {
  const parts = id.split('/')
  if (parts.length !== count || parts.some(part => /~(?![01])/.test(part))) return
  return parts.map(part => part.replaceAll('~1', '/').replaceAll('~0', '~'))
}

export const joinId = (parts: readonly string[]) => parts.map(part => part.replaceAll('~', '~0').replaceAll('/', '~1')).join('/')

const escaped = (cell: string, type: string) => `REPLACE(REPLACE(CAST(${cell} AS ${type}), '~', '~0'), '/', '~1')`

/** SQL for the id on SQLite and PostgreSQL; `cells` are those of the key's columns. */
export const idOfCells = (cells: readonly string[]) => `(${cells.map(cell => escaped(cell, 'TEXT')).join(" || '/' || ")})`

/** As `idOfCells`, on MySQL and MariaDB. */
export const idOfMysqlCells = (cells: readonly string[]) =>
  `CONCAT(${cells.map(cell => escaped(cell, 'CHAR CHARACTER SET utf8mb4')).join(", '/', ")})`

/** How the database is to generate the column. Where a foreign key may change a part, MySQL does not store what follows from it. */
export function generationOf({ driver, options }: DataSource, columns: readonly ColumnMetadata[]) {
  const cells = columns.map(c => driver.escape(c.databaseName))
  if (options.type !== 'mysql' && options.type !== 'mariadb')
    return { asExpression: idOfCells(cells), generatedType: options.type === 'postgres' ? 'STORED' : 'VIRTUAL' }
  return {
    ...{ asExpression: idOfMysqlCells(cells), generatedType: 'VIRTUAL' },
    ...{ length: '255', charset: 'utf8mb4', collation: 'utf8mb4_bin' },
  }
}
