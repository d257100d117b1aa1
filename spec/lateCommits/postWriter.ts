// A client of the middleware that reads, and posts what it changed: rows that it has seen with `since`, rows of its own without.

import { randomUUID } from 'node:crypto'
import type { Random } from '../simulation/random.js'
import { Reader } from './reader.js'
import { COLLECTIONS, type CollectionName, say, type Written, wait } from './words.js'
import type { Write } from './writer.js'

export async function postWriter(name: string, urls: readonly string[], { chance, pick, next }: Random): Promise<Write> {
  // what it posts to one server it may read from the other
  const reader = new Reader(
    name,
    () => pick(urls),
    {},
    problem => say({ said: 'problem', text: problem }),
  )
  let transactions = 0

  /** Rows of a POST, and whether they need to be what was seen. */
  function rowsOf(collection: CollectionName, token: string): { rows: Record<string, unknown>[]; isChecked: boolean } {
    const text = () => `${token}.${Math.floor(next() * 1e9)} ß`
    const items = [...reader.copies.items.keys()]
    const known = [...reader.copies[collection].values()]
    if (known.length < 5 || chance(0.25)) {
      const rows = Array.from({ length: 1 + Math.floor(next() * 4) }, (_, i) => ({
        id: `${token}-${i}`,
        text: text(),
        version: 1,
        ...(collection === 'parts' && { item: pick(items) }),
      }))
      return { rows, isChecked: chance(0.3) }
    }
    const some = new Set(Array.from({ length: 1 + Math.floor(next() * 3) }, () => pick(known)))
    const isRemoval = chance(collection === 'parts' ? 0.2 : items.length > 60 ? 0.5 : 0.1)
    const rows = [...some].map(row =>
      isRemoval
        ? { id: row.id, _removed: true }
        : chance(0.5)
          ? { id: row.id, text: text(), version: row.version + 1, _partial: true }
          : { ...row, text: text(), version: row.version + 1 },
    )
    return { rows, isChecked: true }
  }

  return async () => {
    const token = `${name}.${++transactions}`
    await reader.read()
    const collection = pick(COLLECTIONS)
    const { rows, isChecked } = rowsOf(collection, token)
    const query = isChecked ? `?since=${reader.since[collection]}&collection=${reader.histories[collection]}` : ''
    const response = await fetch(`${pick(urls)}/${collection}${query}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...(chance(0.5) && { 'Idempotency-Key': randomUUID() }) },
      body: JSON.stringify(rows),
    })
    const answer = (await response.json()) as Record<string, unknown>
    if (response.status === 200) {
      const written = rows.map(
        (r): Written => ({
          collection,
          id: String(r.id),
          ...(r._removed ? { version: null } : { version: Number(r.version), text: String(r.text) }),
        }),
      )
      say({ said: 'transaction', by: 'post', committed: true, held: 0, retries: 0, written })
    } else if ([409, 422, 503].includes(response.status) && !answer.reset) {
      say({ said: 'rejected', why: `${response.status}` })
      if (response.status === 503) await wait(50)
    } else say({ said: 'problem', text: `POST ${collection}: ${response.status} ${JSON.stringify(answer)} to ${JSON.stringify(rows)}` })
  }
}
