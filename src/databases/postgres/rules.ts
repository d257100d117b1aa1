import { ConstraintError } from '../../errors.js'
import { holdsKey, type RuleStatements, travellingColumn } from '../rules.js'
import { first, query } from '../statement.js'
import { quote } from '../table.js'
import { classOf, ownTriggers } from './catalog.js'
import { codeOf } from './errors.js'
import { TRIGGER_MARK } from './triggerMark.js'

export const rules: RuleStatements = {
  // an expression, and a condition, depend on columns as well
  *uniqueIndexes(table) {
    const rows = yield* query(
      `SELECT CAST(i.indexrelid AS text) AS index, a.attname AS name, i.indexprs IS NOT NULL AS is_expression,
              a.attnum = ANY(CAST(i.indkey AS int2[])) AS is_key
         FROM pg_index i
         JOIN (SELECT k.indexrelid, unnest(CAST(k.indkey AS int2[])) AS attnum FROM pg_index k
               UNION SELECT d.objid, d.refobjsubid FROM pg_depend d
                WHERE d.classid = CAST('pg_class' AS regclass) AND d.refclassid = CAST('pg_class' AS regclass) AND d.refobjsubid > 0) c
           ON c.indexrelid = i.indexrelid
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = c.attnum
        WHERE i.indrelid = ${classOf('?')} AND i.indisunique
        ORDER BY i.indexrelid, a.attnum`,
      table.name,
    )
    const indexes = new Map<string, { columns: string[]; others: string[] }>()
    for (const { index, name, is_expression, is_key } of rows) {
      const found = indexes.get(String(index)) ?? { columns: [], others: [] }
      indexes.set(String(index), found)
      found[is_key || is_expression ? 'columns' : 'others'].push(travellingColumn(table, String(name)))
    }
    return [...indexes.values()].filter(({ columns }) => !holdsKey(table, columns))
  },

  *deferConstraints(isDeferred) {
    if (isDeferred) yield* query('SET CONSTRAINTS ALL DEFERRED') // whatever it is, it is looked at with the rest
  },

  *checkConstraints() {
    yield* query('SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED')
  },

  // biome-ignore lint/correctness/useYield: it rounds numbers and times, and has triggers
  *keepsValues() {
    return false
  },

  *maySkip({ name }) {
    const row = yield* first(
      `SELECT c.relrowsecurity
           OR EXISTS (SELECT 1 FROM pg_rewrite w WHERE w.ev_class = c.oid AND w.rulename <> '_RETURN')
           OR EXISTS (SELECT 1 FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid
                       WHERE (g.tgrelid = c.oid OR g.tgrelid IN (SELECT t.relid FROM pg_partition_tree(c.oid) t))
                         AND NOT g.tgisinternal AND g.tgenabled <> 'D' AND p.prosrc NOT LIKE ?) AS may_skip
         FROM pg_class c WHERE c.oid = ${classOf('?')}`,
      ...[`${TRIGGER_MARK}%`, name],
    )
    return row?.may_skip === true
  },

  *mayChange({ name }) {
    return (yield* ownTriggers(name)).length > 0
  },

  *pastTriggers(table, body) {
    const name = quote(table.name)
    const triggers = yield* ownTriggers(table.name)
    try {
      for (const { trigger } of triggers) yield* query(`ALTER TABLE ${name} DISABLE TRIGGER ${quote(String(trigger))}`)
      yield* body()
      for (const { trigger, enabled } of triggers)
        yield* query(`ALTER TABLE ${name} ENABLE ${enabled === 'A' ? 'ALWAYS ' : ''}TRIGGER ${quote(String(trigger))}`)
    } catch (error) {
      // the table of another role, or constraints that were deferred
      if (['42501', '55006'].includes(codeOf(error))) throw new ConstraintError('rule', undefined, { cause: error })
      throw error
    }
  },
}
