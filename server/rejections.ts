// Why the database rejects a row, as the answer says it.

import { type Dependent, nameOf } from '../src/changes/rows/dependents.js'
import type { ConstraintError } from '../src/errors.js'
import type { Rejected } from './posted.js'

export const rejectTogether = ({ collection, id }: Dependent): Rejected => ({
  collection,
  id,
  code: 'not-valid',
  detail: 'The rows of this push cannot be stored together.',
})

export function rejectionOf({ collection, id }: Dependent, { kind, column, state }: ConstraintError): Rejected {
  const property = collection.columns.find(c => c.column === column)?.property
  const rejection = { collection, id, ...(property !== undefined && { property }) }
  if (kind === 'unique') return { ...rejection, code: 'not-unique', detail: 'Another row has this value.' }
  if (kind === 'foreign-key')
    return { ...rejection, code: 'parent-missing', detail: 'The row that it needs is not there, or rows need it.' }
  if (kind === 'not-null') return { ...rejection, code: 'not-valid', detail: 'It is missing.' }
  // the class of the error helps a developer; its text may hold values of other rows
  const because = state === undefined ? '.' : ` (${state}).`
  if (kind === 'too-large') return { ...rejection, code: 'too-large', detail: `It is larger than the database can hold there${because}` }
  if (kind === 'not-allowed')
    return { ...rejection, code: 'not-allowed', detail: `The database does not let this row be written${because}` }
  if (kind === 'skipped')
    return { ...rejection, code: 'skipped', detail: 'Something of the application’s on the server skipped it without an error.' }
  if (kind === 'unknown') return { ...rejection, code: 'not-valid', detail: `The database fails to store it${because}` }
  return { ...rejection, code: 'not-valid', detail: `A rule of the ${kind === 'rule' ? 'application' : 'database'} forbids it${because}` }
}

export function unique(rejections: readonly Rejected[]): Rejected[] {
  return [...new Map(rejections.map(r => [`${nameOf(r)}\n${r.property}`, r])).values()]
}
