import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js'
import type { ColumnType } from './columnType.js'

/** How a column's values travel from and to MySQL and MariaDB, whatever the settings of its connection. */
export function mysqlType(_column: ColumnMetadata): ColumnType {
  throw new Error('not written yet')
}
