// Which row has a unique value here that one of the server's needs.

import type { ColumnCodec } from '../../databases/columns.js'
import { query, quote, type Transaction } from '../../databases/database.js'
import { ValueError } from '../../errors.js'
import type { WireRow } from '../../protocol/messages.js'
import type { Exchange } from '../exchange.js'

interface Holder {
  readonly holder: string
  /** The properties of the unique index. */
  readonly properties: readonly string[]
}

/** Rows in a statement; SQLite accepts 500 parts of a compound one. */
const AT_ONCE = 100

export function* readHolders(
  { log, collection }: Exchange,
  rows: readonly { readonly id: string; readonly value: WireRow }[],
): Transaction<Map<string, Holder>> {
  const { database } = log
  const { table } = collection
  const holders = new Map<string, Holder>()
  if (!rows.length) return holders
  const byColumn = new Map(collection.columns.map(c => [c.column, c]))
  for (const { columns: index } of yield* database.uniqueIndexes(table)) {
    const columns = index.flatMap(name => byColumn.get(name) ?? [])
    if (columns.length !== index.length) continue
    const same = columns.map(c => `x.${quote(c.column)} = ${c.placeholder}`).join(' AND ')
    for (let done = 0; done < rows.length; done += AT_ONCE) {
      const asked = rows.slice(done, done + AT_ONCE).flatMap(({ id, value }) => {
        const cells = cellsOf(columns, value)
        return cells ? [{ id, cells }] : []
      })
      if (!asked.length) continue
      const found = yield* query(
        asked
          .map(
            (_, i) => `SELECT ${i} AS n, ${database.id(table, 'x')} AS id FROM ${quote(table.name)} x
              WHERE ${same} AND ${database.id(table, 'x')} <> ?`,
          )
          .join(' UNION ALL '),
        ...asked.flatMap(({ id, cells }) => [...cells, id]),
      )
      for (const { n, id } of found) {
        const row = asked[Number(n)]
        if (row && !holders.has(row.id)) holders.set(row.id, { holder: String(id), properties: columns.map(c => c.property) })
      }
    }
  }
  return holders
}

/** No row holds NULL, nor a value that the column cannot hold. */
function cellsOf(columns: readonly ColumnCodec[], value: WireRow): unknown[] | undefined {
  if (columns.some(c => value[c.property] === null || value[c.property] === undefined)) return
  try {
    return columns.map(c => c.fromWire(value[c.property] as never))
  } catch (error) {
    if (error instanceof ValueError) return
    throw error
  }
}
