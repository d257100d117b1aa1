import { TRIGGER_MARK } from '../knows.js'
import { holdsKey, type RuleStatements, travellingColumn, type UniqueIndex } from '../rules.js'
import { first, query } from '../statement.js'

export const rules: RuleStatements = {
  // a part of a text, and what follows from other columns, may move with any of them
  *uniqueIndexes(table) {
    const rows = yield* query(
      `SELECT s.INDEX_NAME AS name, s.COLUMN_NAME AS "column", s.SUB_PART AS part FROM information_schema.STATISTICS s
        WHERE s.TABLE_SCHEMA = DATABASE() AND s.TABLE_NAME = ? AND s.NON_UNIQUE = 0 ORDER BY s.INDEX_NAME, s.SEQ_IN_INDEX`,
      table.name,
    )
    const indexes = new Map<string, UniqueIndex & { columns: string[] }>()
    for (const { name, column, part } of rows) {
      const found = indexes.get(String(name)) ?? { columns: [], others: [] }
      const own = travellingColumn(table, String(column))
      const isWhole = part === null && (own === table.key || own === table.number || table.columns.includes(own))
      indexes.set(String(name), isWhole ? found : { ...found, others: table.columns })
      if (isWhole) found.columns.push(own)
    }
    return [...indexes.values()].filter(({ columns }) => !holdsKey(table, columns))
  },

  // InnoDB looks at each row at once; there is nothing to defer
  *deferConstraints() {},

  *checkConstraints() {},

  // biome-ignore lint/correctness/useYield: it rounds numbers and times, and has triggers
  *keepsValues() {
    return false
  },

  // biome-ignore lint/correctness/useYield: a trigger there can fail, no more
  *maySkip() {
    return false
  },

  *mayChange({ name }) {
    const own = yield* first(
      `SELECT 1 AS one FROM information_schema.TRIGGERS t
        WHERE t.TRIGGER_SCHEMA = DATABASE() AND t.EVENT_OBJECT_TABLE = ? AND t.ACTION_TIMING = 'BEFORE' AND t.ACTION_STATEMENT NOT LIKE '%${TRIGGER_MARK}%' LIMIT 1`,
      name,
    )
    return own !== undefined
  },
}
