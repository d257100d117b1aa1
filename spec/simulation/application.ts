// What the application writes where tables have more than the three columns of old: unique values that are acquired, released and exchanged,
// rows that are moved from parent to parent or given to other users, and whatever the database itself does with a removal.

import type { SimulatedDatabase } from './databases.js'
import { type Cells, cellsOf, isGone, type Oracle, type Value } from './oracle.js'
import type { Random } from './random.js'
import {
  type ChoiceColumn,
  choicesOf,
  isNumberedReference,
  keyOfId,
  type NumberColumn,
  numberColumnOf,
  numbersOf,
  PROPERTIES,
  type ReferenceColumn,
  referencesOf,
  type TableSpec,
  writtenOf,
} from './schemas.js'

export interface Writing {
  readonly random: Random
  readonly oracle: Oracle
  readonly odds: { readonly remove: number; readonly bad: number }
  readonly reached: Set<string>
  readonly servers: ReadonlySet<string>
  snapshot(db: SimulatedDatabase): Map<string, Value>
  /** The tokens of the removals that stand in a database. */
  removalsOf(name: string): Map<string, string>
  /** A value for a column that has a few. */
  choose(db: SimulatedDatabase, column: ChoiceColumn): string | null
  /** What the user has changed in a row that is not to be seen any more. */
  keptApart(db: SimulatedDatabase, id: string): Value
  /** How often the values of such a column change. */
  readonly moves: () => number
  /** Something was undone that counted as written. */
  forgetSeen(db: SimulatedDatabase): void
}

type Row = Record<string, unknown>

const IS_CONSTRAINT = /constraint|duplicate|unique|violates|cannot be null/i
/** So few that they are wanted by several rows. */
const NUMBERS = [1, 2, 3, 4, 5, 6]

export class Application {
  #fresh = 0

  constructor(private readonly w: Writing) {}

  /** Writes a row, or does with it what needs several statements; nothing, where the database rejects it. */
  write(db: SimulatedDatabase, id: string): void {
    const { chance } = this.w.random
    const spec = db.specOf(id)
    const isThere = !isGone(this.w.snapshot(db).get(id))
    const [number] = numbersOf(spec)
    if (isThere && number && chance(0.25)) this.#exchange(db, spec, id)
    else if (isThere && chance(this.w.odds.remove)) this.remove(db, id)
    else this.#edit(db, spec, id)
  }

  #edit(db: SimulatedDatabase, spec: TableSpec, id: string): void {
    const { random, oracle, odds, servers } = this.w
    const old = this.w.snapshot(db).get(id) ?? null
    const known = isGone(old) ? undefined : old
    const before = this.#before(db, id)
    const values: Row = {}
    for (const p of PROPERTIES) {
      if (db.lacks(p)) continue
      if (!known || random.chance(0.3)) values[p] = known ? oracle.token(db.name, known[p]) : oracle.token(db.name, ...before)
    }
    if (known && !servers.has(db.name) && random.chance(odds.bad))
      values.c = oracle.alias(oracle.token(db.name, known.c), `${db.name}.bad${oracle.written.length}!`)
    for (const column of numbersOf(spec)) if (!known || random.chance(0.3)) values[column.column] = this.#number(column)
    for (const column of choicesOf(spec)) if (!known || random.chance(this.w.moves())) values[column.column] = this.w.choose(db, column)
    for (const column of referencesOf(spec))
      if (column.column !== spec.composite && (!known || random.chance(0.3))) values[column.column] = this.#reference(db, column, id)
    if (!Object.keys(values).length) return
    this.savepoint(db, () => {
      if (known) this.#update(db, spec, id, values)
      else this.#insert(db, spec, { id, ...values })
    })
  }

  /** Who makes a row anew has what was changed in it before their eyes. */
  #before(db: SimulatedDatabase, id: string): (string | undefined)[] {
    return [this.w.oracle.lastRemoval.get(db.name + id), ...cellsOf(this.w.keptApart(db, id))]
  }

  remove(db: SimulatedDatabase, id: string): void {
    const { random, oracle, reached } = this.w
    const spec = db.specOf(id)
    const heir = spec.ids.find(other => other !== id && isGone(this.w.snapshot(db).get(other)))
    const takesOver = heir !== undefined && (numbersOf(spec).length > 0 || spec.composite !== undefined) && random.chance(0.5)
    const [row] = takesOver ? db.run(`SELECT * FROM ${spec.name} WHERE id = ?`, id) : []
    const tokens = takesOver ? PROPERTIES.map(p => [p, oracle.token(db.name, ...this.#before(db, heir))]) : []
    const isDone = this.savepoint(
      db,
      () => {
        if (row && spec.composite) {
          this.#update(db, spec, id, { ...Object.fromEntries(tokens), ...keyOfId(spec, heir as string) })
          return
        }
        db.run(`DELETE FROM ${spec.name} WHERE id = ?`, id)
        if (!row) return
        const extras = Object.fromEntries(spec.extras.filter(e => e.kind !== 'touched').map(e => [e.column, row[e.column]]))
        this.#insert(db, spec, { ...Object.fromEntries(tokens), ...extras, id: heir })
      },
      id,
    )
    if (isDone && row) reached.add(spec.composite ? 'part of a key changed' : 'removed and made anew with its unique values')
  }

  /** Two rows exchange their places; where one may not be without, by way of a place that no row has. */
  #exchange(db: SimulatedDatabase, spec: TableSpec, id: string): void {
    const { random, oracle } = this.w
    const values = this.w.snapshot(db)
    const others = spec.ids.filter(other => other !== id && !isGone(values.get(other)))
    if (!others.length) return
    const other = random.pick(others)
    const columns = numbersOf(spec).map(c => c.column)
    const [local, remote] = [id, other].map(each => db.run(`SELECT * FROM ${spec.name} WHERE id = ?`, each)[0] as Row) as [Row, Row]
    const tokens = [id, other].map(each => oracle.token(db.name, (values.get(each) as Cells).a))
    const isDone = this.savepoint(db, () => {
      this.#update(db, spec, id, Object.fromEntries(columns.map((c, i) => [c, -1 - i])))
      this.#update(db, spec, other, { ...Object.fromEntries(columns.map(c => [c, local[c]])), a: tokens[1] })
      this.#update(db, spec, id, { ...Object.fromEntries(columns.map(c => [c, remote[c]])), a: tokens[0] })
    })
    if (isDone) this.w.reached.add('unique values exchanged')
  }

  /** Gives a row unique values that no row has. */
  free(db: SimulatedDatabase, id: string): void {
    const spec = db.specOf(id)
    const values: Row = {}
    const together = new Set(spec.together.flat())
    for (const { column, unique } of numbersOf(spec)) if (unique || together.has(column)) values[column] = this.#freshNumber(db)
    for (const { column, unique, nullable } of referencesOf(spec)) {
      if (unique && nullable) values[column] = null
      // it needs what another has
      if (unique && !nullable) return void this.savepoint(db, () => db.run(`DELETE FROM ${spec.name} WHERE id = ?`, id), id)
    }
    if (Object.keys(values).length) this.savepoint(db, () => this.#update(db, spec, id, values))
  }

  #freshNumber(db: SimulatedDatabase): number {
    const [name] = [...db.name].reverse()
    return 100 * ++this.#fresh + (name as string).charCodeAt(0)
  }

  #number({ nullable }: NumberColumn): number | null {
    const { chance, pick } = this.w.random
    return nullable && chance(0.25) ? null : pick(NUMBERS)
  }

  #reference(db: SimulatedDatabase, { to, nullable }: ReferenceColumn, id: string): string | null {
    const { chance, pick } = this.w.random
    const there = db.run(`SELECT id FROM ${to} ORDER BY id`).map(row => String(row.id))
    // no row is its own parent, but for a mistake
    const possible = there.filter(other => other !== id || chance(0.05))
    return !possible.length || (nullable && chance(0.25)) ? null : pick(possible)
  }

  #insert(db: SimulatedDatabase, spec: TableSpec, { id, ...others }: Row): void {
    const { name } = spec
    const values = this.#stored(db, spec, { ...others, ...keyOfId(spec, String(id)) })
    const columns = Object.keys(values)
    db.run(
      `INSERT INTO ${name} (${columns.map(c => `"${c}"`).join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`,
      ...Object.values(values),
    )
  }

  /** As the columns of the table have them: of rows that are counted their numbers. */
  #stored(db: SimulatedDatabase, spec: TableSpec, values: Row): Row {
    const numbered = referencesOf(spec).filter(r => isNumberedReference(db.schema, r))
    return Object.fromEntries(
      Object.entries(writtenOf(spec, values)).map(([column, value]) => {
        const reference = numbered.find(r => r.column === column)
        return reference ? [numberColumnOf(column), db.numberOf(reference.to, value)] : [column, value]
      }),
    )
  }

  #update(db: SimulatedDatabase, spec: TableSpec, id: string, given: Row): void {
    const values = this.#stored(db, spec, given)
    const set = Object.keys(values).map(c => `"${c}" = ?`)
    db.run(`UPDATE ${spec.name} SET ${set.join(', ')} WHERE id = ?`, ...Object.values(values), id)
  }

  /** Writes within the transaction that is open, or nothing, and reports it to the oracle. `removed`: the row whose removal this is. */
  savepoint(db: SimulatedDatabase, body: () => void, removed?: string): boolean {
    const { oracle, snapshot, removalsOf, forgetSeen } = this.w
    const before = snapshot(db)
    db.run('SAVEPOINT application')
    try {
      body()
      db.run('RELEASE SAVEPOINT application')
    } catch (error) {
      db.run('ROLLBACK TO SAVEPOINT application')
      db.run('RELEASE SAVEPOINT application')
      forgetSeen(db)
      if (!IS_CONSTRAINT.test(String(error))) throw error
      return false
    }
    const after = snapshot(db)
    const gone = db.schema.ids.filter(id => !isGone(before.get(id)) && isGone(after.get(id)))
    if (gone.length) {
      const token = oracle.token(`${db.name}r`, ...gone.flatMap(id => cellsOf(before.get(id))))
      if (removed !== undefined && gone.includes(removed)) oracle.written.push({ id: removed, property: 'removed', token })
      for (const id of gone) {
        removalsOf(db.name).set(id, token)
        oracle.observe({ database: db.name, id, old: before.get(id) ?? null, value: { removed: token }, cause: 'application' })
      }
    }
    for (const id of db.schema.ids) {
      const [old, value] = [before.get(id) ?? null, after.get(id) ?? null]
      if (isGone(value)) continue
      const written = PROPERTIES.filter(property => value[property] && (isGone(old) || old[property] !== value[property]))
      for (const property of written) oracle.written.push({ id, property, token: value[property] })
      if (written.length) oracle.observe({ database: db.name, id, old, value, cause: 'application' })
    }
    return true
  }
}
