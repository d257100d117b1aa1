// Many rows with one statement: a statement for each costs several times as much.

import { TRIGGER_MARK } from '../knows.js'
import { first, type Transaction } from '../statement.js'

export const MANY = 400

type Lists = readonly (readonly unknown[])[]

/** Lists that differ in one text alone: its place in them, and the values of one statement, which are those that all have in common and then the texts, as JSON. */
interface Texts {
  readonly at: number
  readonly values: readonly unknown[]
}

/** What one statement needs to do for all of these lists what one for each does in a table; undefined where it may come to something else. */
export function* textsFor(table: string, lists: Lists): Transaction<Texts | undefined> {
  const texts = lists.length < MANY ? undefined : textsOf(lists)
  // it goes through the rows in an order of its own: triggers would see that, and so would rows that need each other
  return texts && !(yield* maySkip(table)) && !(yield* needsItself(table)) ? texts : undefined
}

/** Undefined where they differ in more than a text. */
function textsOf(lists: Lists): Texts | undefined {
  const [one = [], other = []] = lists
  const at = one.findIndex((value, i) => value !== other[i])
  if (!lists.every(list => typeof list[at] === 'string' && list.every((value, i) => i === at || value === one[i]))) return
  const texts = JSON.stringify(lists.map(list => list[at]))
  // json_each ends a text at NUL, before SQLite 3.45, and gives halves of characters other bytes than a driver does
  return /\\u(0000|d[89a-f])/.test(texts) ? undefined : { at, values: [...one.filter((_, i) => i !== at), texts] }
}

/** May something of the application's skip or change a write: a trigger, or the conflict clause of a constraint? */
export function* maySkip(table: string): Transaction<boolean> {
  const all = 'SELECT * FROM sqlite_master UNION ALL SELECT * FROM sqlite_temp_master'
  const own = `SELECT 1 FROM (${all}) WHERE lower(tbl_name) = lower(?) AND
    (type = 'trigger' AND sql NOT LIKE ? OR type = 'table' AND sql LIKE '% ON CONFLICT %') LIMIT 1`
  return (yield* first(own, table, `%${TRIGGER_MARK}%`)) !== undefined
}

/** Do rows of the table need others of it, by way of whatever tables? SQLite would go from one to the next, and no further than 1000. */
function* needsItself(table: string): Transaction<boolean> {
  const parents = `WITH RECURSIVE parent(name) AS (
    SELECT lower("table") FROM pragma_foreign_key_list(?) UNION SELECT lower(f."table") FROM parent, pragma_foreign_key_list(parent.name) f)
    SELECT 1 FROM parent WHERE name = lower(?)`
  return (yield* first(parents, table, table)) !== undefined
}
