import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js'
import type { ColumnType } from './columnType.js'

/** How a column's values travel from and to PostgreSQL, whatever the settings of its session. */
export function postgresType(_column: ColumnMetadata): ColumnType {
  throw new Error('not written yet')
}
