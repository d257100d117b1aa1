import type { RuleStatements } from '../rules.js'
import { query } from '../statement.js'
import { dropTrigger, ownTriggers, uniqueIndexes } from './catalog.js'
import { maySkip } from './many.js'

export const rules: RuleStatements = {
  uniqueIndexes,

  *deferConstraints(isDeferred) {
    yield* query(`PRAGMA defer_foreign_keys = ${isDeferred ? 'ON' : 'OFF'}`)
  },

  *keepsValues(table) {
    return !(yield* maySkip(table.name))
  },

  maySkip: table => maySkip(table.name),
  mayChange: table => maySkip(table.name),

  *pastTriggers(table, body) {
    const triggers = yield* ownTriggers(table)
    for (const { name } of triggers) yield* dropTrigger(name)
    yield* body()
    for (const { sql } of triggers) yield* query(String(sql))
  },
}
