import { withNumbers } from '../paths.js'
import type { RowStatements } from '../rowStatements.js'
import type { Rows, Statement, Transaction } from '../statement.js'
import { nameOf, placeholderOf, quote, type Target } from '../table.js'
import { pinned } from './catalog.js'
import { BATCH } from './chunks.js'
import type { KnownTables, SelfReference } from './knownTables.js'
import { parentsFirst } from './parentsFirst.js'
import type { Session } from './session.js'
import { spell } from './spell.js'

type List = readonly unknown[]

export function rowStatements(tables: KnownTables, session: Session): RowStatements {
  /** Rows in as many statements as need be. */
  function* inBatches(rows: readonly List[], statement: (some: readonly List[]) => Statement): Transaction<void> {
    const limit = session.longest ?? 1_000_000
    let some: List[] = []
    let size = 0
    for (const row of rows) {
      const length = row.reduce((sum: number, value) => sum + lengthOf(value), 0)
      if (some.length && (some.length >= BATCH || size + length > limit)) {
        yield statement(some)
        some = []
        size = 0
      }
      some.push(row)
      size += length
    }
    if (some.length) yield statement(some)
  }

  function* insert(into: string, columns: readonly Target[], rows: readonly List[], end = ''): Transaction<void> {
    const place = `(${columns.map(placeholderOf).join(', ')})`
    const head = `INSERT INTO ${quote(into)} (${columns.map(c => quote(nameOf(c))).join(', ')}) VALUES `
    yield* inBatches(rows, some => ({ sql: `${head}${Array(some.length).fill(place).join(', ')}${end}`, values: some.flat() }))
  }

  function* update(table: string, columns: readonly Target[], keys: readonly string[], rows: Rows): Transaction<void> {
    if (!rows.length) return
    const pins = pinned((yield* tables.columnsOf(table))?.values() ?? [], columns.map(nameOf))
    const assignments = columns.map(c => `${quote(nameOf(c))} = ${placeholderOf(c)}`).join(', ')
    yield { sql: `UPDATE ${quote(table)} SET ${assignments}${pins} WHERE ${isRow(keys)}`, values: [], many: rows }
  }

  return {
    /** InnoDB looks at foreign keys row by row: parents go before their children. Where rows refer to each other, one gets its parent afterwards. */
    *insertRows(into, columns, given) {
      const rows = [...given]
      const references = rows.length < 2 ? [] : yield* tables.selfReferencesOf(into)
      const { ordered, later } = parentsFirst(rows, columns.map(nameOf), references)
      // a statement may not read the table that it writes to
      const [targets, lists] = withNumbers(columns, ordered, path => path.parent !== into)
      yield* insert(into, targets, [...lists])
      for (const { reference, row } of later) yield* setParent(into, columns, reference, row)
    },

    *upsertRows(into, columns, keys, rows) {
      const others = columns.map(nameOf).filter(c => !keys.includes(c))
      const set = others.length
        ? others.map(c => `${quote(c)} = VALUES(${quote(c)})`).join(', ')
        : `${quote(keys[0] as string)} = ${quote(keys[0] as string)}`
      yield* insert(into, columns, rows, ` ON DUPLICATE KEY UPDATE ${set}`)
    },

    updateRows: update,

    *deleteRows(from, keys, rows) {
      if (!rows.length) return
      const [key = '', ...more] = keys
      const head = `DELETE FROM ${quote(from)} WHERE `
      if (more.length)
        yield* inBatches(rows, some => ({
          sql:
            head +
            Array(some.length)
              .fill(`(${isRow(keys)})`)
              .join(' OR '),
          values: some.flat(),
        }))
      else if (rows.length > 1 && (yield* tables.selfReferencesOf(from)).length)
        // in the order that was given, children first: ON DELETE RESTRICT looks at once
        yield { sql: `${head}${quote(key)} = ?`, values: [], many: rows }
      else yield* inBatches(rows, some => ({ sql: `${head}${quote(key)} IN (?)`, values: [some.flat()] }))
    },

    spell: (_table, columns, lists) => spell(columns, lists),
  }

  function setParent(table: string, columns: readonly Target[], { nullable, parent }: SelfReference, row: List): Transaction<void> {
    const at = (name: string) => columns.findIndex(c => nameOf(c) === name)
    const targets = nullable.map(name => columns[at(name)] as Target)
    return update(table, targets, parent, [[...nullable, ...parent].map(name => row[at(name)])])
  }
}

const isRow = (keys: readonly string[]) => keys.map(k => `${quote(k)} = ?`).join(' AND ')

function lengthOf(value: unknown): number {
  if (typeof value === 'string') return 3 * value.length + 4
  return ArrayBuffer.isView(value) || value instanceof ArrayBuffer ? 2 * value.byteLength + 4 : 24
}
