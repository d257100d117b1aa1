// Errors by which a database, or a column, rejects a row.

import { ConstraintError, ValueError } from '../../errors.js'

export const isNotUnique = (error: unknown) => error instanceof ConstraintError && error.kind === 'unique'

export const isRowError = (error: unknown): error is ConstraintError | ValueError =>
  error instanceof ConstraintError || error instanceof ValueError
