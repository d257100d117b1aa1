// What a server makes of a push: rows that it stores, rejects or keeps, and what that says about removals.

import type { SimulatedDatabase } from './databases.js'
import { cellsOf, isGone, type Value } from './oracle.js'
import { keysOf, wronglyRejected } from './rejections.js'
import { numbersIn } from './relatives.js'
import { type Answer, groupsOf, postedRows, type Request } from './requests.js'
import { referencesOf, type TableSpec } from './schemas.js'
import type { World } from './world.js'

type Row = Record<string, unknown>

/** The rows of the tables that are pushed to, and have unique values. */
export function uniqueRowsIn(w: World, db: SimulatedDatabase, { body, path }: Request): Map<TableSpec, Row[]> {
  const groups = groupsOf(body, path)
  const specs = w.schema.tables.filter(spec => groups.has(`/${spec.name}s`) && keysOf(spec).length)
  return new Map(specs.map(spec => [spec, w.remembered(db, spec.name, () => db.run(`SELECT * FROM ${spec.name}`))]))
}

/** What is valid as a whole is stored as a whole. */
export function lookAtRejected(w: World, request: Request, answer: Answer, before: ReadonlyMap<TableSpec, Row[]> | undefined): void {
  const { server, path, body } = request
  // a removal that reaches others lets go of more than its own values
  const isPlain = !postedRows(body).some(row => row._removed) || !w.schema.tables.some(t => referencesOf(t).length)
  if (answer.status !== 422 || !w.features.valid || !isPlain) return
  const groups = groupsOf(body, path)
  for (const [spec, rows] of before ?? []) {
    const vain = wronglyRejected(spec, rows, groups.get(`/${spec.name}s`) ?? [], JSON.parse(answer.body).errors)
    if (vain.length) throw new Error(`${server} rejected ${vain} in vain: ${body} over ${JSON.stringify(rows)} ${answer.body}`)
  }
}

export function lookAtPosted(
  w: World,
  { server, body, removals }: Request,
  { status, headers, body: told }: Answer,
  before: ReadonlyMap<string, Value>,
  after: ReadonlyMap<string, Value>,
): void {
  const { reached, oracle } = w
  if (headers['idempotency-replayed']) reached.add('replayed')
  if (status === 422) reached.add(/children-unseen/.test(told) ? 'removal rejected for rows not seen' : 'rejected')
  if (status === 409 && !postedRows(body).length) reached.add('retry across a collection change')
  if (status === 409) reached.add(/"reset"/.test(told) ? 'push answered with a reset' : 'stale push')
  if (/"empty":true/.test(told)) reached.add('push ended by an empty one')
  // a removal that was posted and is gone already stands for the one posted
  for (const [id, token] of removals) {
    const stands = w.removalsOf(server).get(id)
    if (status === 200 && isGone(after.get(id)) && stands !== undefined && stands !== token) {
      oracle.inherit(stands, token)
      oracle.inherit(token, stands)
    }
    if (status === 200 && !before.has(id) && isGone(after.get(id))) oracle.neverTold.add(token)
    if (w.users && status === 200 && !isGone(after.get(id))) {
      oracle.neverTold.add(token)
      reached.add('removal of a row that is not seen')
    }
  }
}

/** Where tables have more than the three columns of old. */
export function lookAtPush(
  w: World,
  db: SimulatedDatabase,
  request: Request,
  answer: Answer,
  numbersBefore: ReadonlyMap<string, string> | undefined,
  after: ReadonlyMap<string, Value>,
): void {
  const { from, server, body, removals } = request
  const { reached, schema } = w
  const rows = postedRows(body)
  if (answer.status === 422)
    for (const { id, code } of JSON.parse(answer.body).errors) {
      if (code !== 'not-unique') continue
      reached.add('not-unique rejected')
      const row = rows.find(r => r.id === id)
      w.notUnique.set(from + server + id, JSON.stringify({ ...row, _partial: undefined }))
    }
  if (answer.status !== 200) return
  for (const row of rows) lookAtStored(w, db, `${from}${server}${row.id}`, row)
  const numbers = numbersIn(w, db)
  if (numbers && numbersBefore)
    for (const [id, local] of numbersBefore)
      for (const [other, remote] of numbersBefore)
        if (id < other && local !== remote && numbers.get(id) === remote && numbers.get(other) === local)
          reached.add('unique values exchanged in one push')
  // a server that keeps what was to be removed has seen the removal
  for (const [id, token] of removals) {
    const value = after.get(id)
    if (!value || isGone(value) || schema.trigger !== 'skip') continue
    reached.add('removal skipped by a trigger')
    for (const t of cellsOf(value)) w.oracle.inherit(t, token)
  }
  if (schema.trigger === 'touch' && rows.some(r => typeof r.a === 'string')) reached.add('column changed by a trigger')
}

/** A row of a push that was stored; the key says whose it is. */
function lookAtStored(w: World, db: SimulatedDatabase, key: string, row: Row): void {
  const { notUnique, unknownTold, reached } = w
  if (notUnique.get(key) === JSON.stringify({ ...row, _partial: undefined })) reached.add('not-unique pushed again')
  notUnique.delete(key)
  const { gained } = w.schema
  if (!gained || typeof row[gained] !== 'string') return
  if (db.lacks(gained)) {
    reached.add('property unknown to the server')
    unknownTold.add(row[gained])
  } else if (unknownTold.has(row[gained])) reached.add('unknown property pushed later')
}
