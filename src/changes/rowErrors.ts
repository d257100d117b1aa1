// Errors by which a database, or a column, rejects a row.

import { ConstraintError, ValueError } from '../errors.js'

export const isTaken = (error: unknown) => error instanceof ConstraintError && error.kind === 'unique'

export const isRule = (error: unknown): error is ConstraintError | ValueError =>
  error instanceof ConstraintError || error instanceof ValueError
