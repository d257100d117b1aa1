// Numbers that a database counts are its own: elsewhere another row has them. What travels for them is an identity, in a hidden column beside the number:
// that of a row, and of a reference that of the row which it leads to.

import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js'
import { shortName } from '../names.js'

/** The column by which rows are told apart everywhere. The database fills it when a row is inserted. */
export const IDENTITY = '_sync_identity'

/** The column that keeps the identity of the row to which a column of numbers leads. */
export const referenceColumnOf = (column: string) => shortName(`_sync_to_${column}`)

/** Of a column of numbers, be it the key or a reference to one: the hidden column that travels for it. */
export const identities = new WeakMap<ColumnMetadata, ColumnMetadata>()

/** The column that says on every database what this one says here. */
export const travelling = (column: ColumnMetadata): ColumnMetadata => identities.get(column) ?? column

/** Does the database count its rows by this column? */
export const isNumber = (column: ColumnMetadata | undefined): boolean =>
  column?.isGenerated === true && column.generationStrategy !== 'uuid'
