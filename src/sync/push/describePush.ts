// What is pushed of a row.

import type { Collection } from '../../changes/collections/collection.js'
import { baseOf } from '../../changes/servers/agreement.js'
import { withoutIgnored } from '../../changes/servers/ignored.js'
import type { RowState } from '../../changes/servers/rowStates.js'
import type { ServerState } from '../../changes/servers/serverState.js'
import { dateToNumber, equalValues } from '../../databases/columns.js'
import { deepProperty, TOO_DEEP } from '../../protocol/depth.js'
import { type PushedRow, type Rejection, type WireRow, writePushedRow } from '../../protocol/messages.js'

/** No server would accept it, and JSON cannot be made of it. */
export function reject({ id, value }: PushedRow): Rejection | undefined {
  const property = value && deepProperty(value)
  return property ? { id, property, code: 'not-valid', detail: TOO_DEEP } : undefined
}

/** What is pushed of a row: all of it, where the server has none; what changed, where it has; nothing, where it is as the server knows it. */
export function describePush({ columns, parents }: Collection, server: ServerState, state: RowState): PushedRow | undefined {
  const { id, version } = state
  const base = baseOf(server, state)
  const { value } = version
  if (value === null) return base === null ? undefined : { id, value: null, partial: false } // made and removed here: never mind
  if (!base) return { id, value: withoutPutOff(value, state), partial: false }
  // A server of 2011 would make a row of the part where it has none. And what it has is not known for sure: a push without an answer may have
  // changed the row there since, or may yet, so a row that is again as it was is pushed as well.
  if (server.serverHistory === null) return { id, value, partial: false }
  const changed: WireRow = {}
  for (const { property } of columns)
    if (Object.hasOwn(value, property) && !(Object.hasOwn(base, property) && equalValues(value[property], base[property])))
      changed[property] = value[property] as never
  if (!Object.keys(changed).length) return
  // a key is pushed as a whole
  for (const { properties } of parents.filter(r => r.properties.some(p => Object.hasOwn(changed, p))))
    for (const p of properties) if (Object.hasOwn(value, p)) changed[p] = value[p] as never
  return { id, value: changed, partial: true }
}

/** A row that the server does not have goes without the references that are put off. */
export const withoutPutOff = (value: WireRow, { putOff }: RowState): WireRow =>
  putOff.length ? withoutIgnored(value, { ignored: putOff, putOff: [] }) : value

// A server of 2012 writes dates as numbers.
export function writeFor({ dateForm }: ServerState, { columns }: Collection, row: PushedRow): WireRow {
  if (dateForm === null || row.value === null) return writePushedRow(row)
  const value = { ...row.value }
  for (const { isDate, property } of columns) {
    const date = value[property]
    if (isDate && typeof date === 'string') value[property] = dateToNumber(date) * (dateForm === 'milliseconds' ? 1000 : 1)
  }
  return writePushedRow({ ...row, value })
}
