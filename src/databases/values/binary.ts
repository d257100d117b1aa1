import type { ColumnType, DataSource } from 'typeorm'
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js'

/**
 * The type of a column of bytes, whatever the database: `blob` on SQLite, `bytea` on PostgreSQL, `longblob` on MySQL and MariaDB. So one class
 * serves device and server: `@Column({ type: binary }) photo!: Uint8Array`. It needs a data source that withSync was given.
 */
export const binary = Uint8Array as unknown as ColumnType

export const isBinary = (type: ColumnMetadata['type']): boolean =>
  typeof type === 'function' && ((type as unknown) === Uint8Array || type.prototype instanceof Uint8Array)

/** Lets the driver of this one data source know what `binary` is. TypeORM has no other door for a type of all databases. */
export function teachBinary({ driver, options: { type } }: DataSource): void {
  const { normalizeType } = driver
  const name = type === 'postgres' ? 'bytea' : type === 'mysql' || type === 'mariadb' ? 'longblob' : 'blob'
  driver.normalizeType = column => ((column.type as unknown) === Uint8Array ? name : normalizeType.call(driver, column))
}
