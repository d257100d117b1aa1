// PostgreSQL, 14 and later: a transaction is a transaction on a connection of its own that holds the clock (postgres-step.ts).

import type { DataSource } from 'typeorm'
import { ConstraintError, SyncConfigurationError } from '../../errors.js'
import type { ColumnCodec } from '../columns.js'
import {
  baseTableOf,
  copiesOf,
  type Database,
  first,
  type OpenOptions,
  query,
  quote,
  type Rows,
  savepoint,
  type Table,
  type Target,
  type Transaction,
} from '../database.js'
import { text } from '../knows.js'
import { codeOf } from './errors.js'
import { bypassCapture, type ColumnInfo, classOf, readColumns, SUFFIX, TABLES } from './tables.js'
import { postgresTransactions } from './transaction.js'
import { type Capture, captureOf, idOf, keepAbsentBase, keepBase, type Place, TRIGGER_MARK } from './triggers.js'

const NOW = '(SELECT now FROM sync_clock)'
const WALL_CLOCK = '(extract(epoch FROM clock_timestamp()) * 1000)::bigint'
// A failover, or a restore to a point in time, begins a new timeline of the server: with it the collection's name is another one (law 11).
const TIMELINE = `CASE WHEN pg_is_in_recovery()
  THEN upper(lpad(to_hex((SELECT timeline_id FROM pg_control_checkpoint())), 8, '0'))
  ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END`

// The lengths of texts and bytes are known without fetching the value, and so is that of another type, unless it is compressed.
const sizeOf = (expression: string, declared: string) =>
  /^(text|varchar|character|char|citext|bytea)(?!.* array$)/i.test(declared)
    ? `octet_length(${expression})`
    : `CASE WHEN pg_column_compression(${expression}) IS NULL THEN pg_column_size(${expression}) ELSE octet_length(CAST(${expression} AS text)) END`

/**
 * A change of the schema keeps the transactions of this process waiting; those of other processes go on. Let them wait for a migration by other
 * means, or take what they write meanwhile for changed once more.
 */
export function postgresDatabase(dataSource: DataSource, options: OpenOptions = {}): Database {
  const { wallClock = WALL_CLOCK } = options
  const catalog = new Map<string, Map<string, ColumnInfo>>()
  const { transaction, changeSchema } = postgresTransactions(dataSource, options, () => catalog.clear())
  const captures = new Map<string, Capture>()
  let timeline: string | undefined

  function* columnsOf(table: string): Transaction<Map<string, ColumnInfo>> {
    let columns = catalog.get(table)
    if (!columns) {
      columns = yield* readColumns(table)
      if (columns.size) catalog.set(table, columns)
    }
    return columns
  }

  function* columnsNow(table: string): Transaction<Map<string, ColumnInfo>> {
    catalog.delete(table)
    return yield* columnsOf(table)
  }

  // ---------------------------------------------------------------- many rows in one statement

  // One statement: foreign keys are looked at when it ends, so that a parent may come after its child.
  function* records(table: string, columns: readonly string[], rows: Rows) {
    const infos = yield* columnsOf(table)
    const json = JSON.stringify(Array.from(rows, row => Object.fromEntries(row.map((value, i) => [`c${i}`, value]))))
    return {
      from: `json_to_recordset(CAST(? AS json)) AS v(${columns.map((_, i) => `c${i} text`).join(', ')})`,
      cells: columns.map((c, i) => `CAST(v.c${i} AS ${infos.get(c)?.castType ?? 'text'})`),
      json,
    }
  }

  function* insertRows(into: string, columns: readonly Target[], rows: Rows, conflict = ''): Transaction<void> {
    if (!rows.length) return
    const names = columns.map(nameOf)
    const { from, cells, json } = yield* records(into, names, rows)
    yield* query(`INSERT INTO ${quote(into)} (${names.map(quote).join(', ')}) SELECT ${cells.join(', ')} FROM ${from} ${conflict}`, json)
  }

  // ---------------------------------------------------------------- triggers

  interface Present {
    readonly place: Place
    /** Versions by name, and behind it the partition; of one that is switched off none. */
    readonly triggers: ReadonlyMap<string, string>
    /** Its partitions: a statement fires the triggers of the one that it names. */
    readonly places: readonly string[]
    /** Tables that inherit from it without being partitions. */
    readonly heirs: readonly string[]
  }

  function* presentTriggers(tables: readonly Table[]): Transaction<Map<string, Present>> {
    const rows = yield* query(
      `SELECT w.name AS name, n.nspname AS table_schema, current_schema() AS schema, ${SUFFIX} AS suffix,
              part.relid = c.oid AS is_top, part.name AS place, part.is_heir AS is_heir, t.tgname AS trigger, CASE WHEN t.tgenabled IN ('O', 'A') THEN t.version ELSE '' END AS version
         FROM unnest(CAST(? AS text[])) AS w(name)
         JOIN pg_class c ON c.oid = ${classOf('w.name')}
         JOIN pg_namespace n ON n.oid = c.relnamespace
         CROSS JOIN LATERAL (SELECT c.oid AS relid, format('%I.%I', n.nspname, c.relname) AS name, false AS is_heir
                   UNION ALL SELECT p.oid, format('%I.%I', m.nspname, p.relname), NOT p.relispartition
                     FROM pg_class p JOIN pg_namespace m ON m.oid = p.relnamespace
                    WHERE p.oid IN (WITH RECURSIVE below (oid) AS (SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = c.oid
                                      UNION SELECT i.inhrelid FROM below b JOIN pg_inherits i ON i.inhparent = b.oid) SELECT oid FROM below)) part
         LEFT JOIN (SELECT g.tgrelid, g.tgname, g.tgenabled, substring(p.prosrc FROM '^/\\* typeorm-sync ([0-9a-f]+) \\*/') AS version
                      FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid WHERE NOT g.tgisinternal AND g.tgparentid = 0) t
           ON t.tgrelid = part.relid AND t.version IS NOT NULL`,
      tables.map(t => t.name),
    )
    const present = new Map<string, Present & { triggers: Map<string, string>; places: string[]; heirs: string[] }>()
    for (const row of rows) {
      const name = String(row.name)
      const place = { schema: String(row.schema), tableSchema: String(row.table_schema), suffix: String(row.suffix) }
      const found = present.get(name) ?? { place, triggers: new Map(), places: [], heirs: [] }
      const list = row.is_heir ? found.heirs : found.places
      if (!row.is_top && !list.includes(String(row.place))) list.push(String(row.place))
      if (row.trigger !== null) found.triggers.set(placed(String(row.trigger), row.is_top ? '' : String(row.place)), String(row.version))
      present.set(name, found)
    }
    return present
  }

  function expectedCapture(table: Table, place: Place): Capture {
    const name = JSON.stringify([table, place])
    let capture = captures.get(name)
    if (!capture) {
      capture = captureOf(table, place, wallClock)
      captures.set(name, capture)
    }
    return capture
  }

  const placed = (trigger: string, place: string) => (place ? `${trigger} ON ${place}` : trigger)

  /** The triggers of a table and its partitions; those for each row PostgreSQL clones itself. */
  function expectedTriggers(table: Table, { place, places }: Present) {
    const top = `${quote(place.tableSchema)}.${quote(table.name)}`
    const { triggers } = expectedCapture(table, place)
    return new Map(
      [...triggers].flatMap(([trigger, { sql, version, isCloned }]) =>
        [top, ...(isCloned ? [] : places)].map(
          on => [placed(trigger, on === top ? '' : on), { trigger, on, sql: sql(on), version }] as const,
        ),
      ),
    )
  }

  function isIntact(table: Table, present: Present | undefined): boolean {
    if (!present) return false
    const expected = expectedTriggers(table, present)
    return expected.size === present.triggers.size && [...expected].every(([name, t]) => present.triggers.get(name) === t.version)
  }

  function* makeTriggers(table: Table, present: Present): Transaction<void> {
    const { functions } = expectedCapture(table, present.place)
    const expected = expectedTriggers(table, present)
    const name = `${quote(present.place.tableSchema)}.${quote(table.name)}`
    for (const each of present.triggers.keys()) {
      const [trigger = '', on = name] = each.split(' ON ')
      if (!expected.has(each)) yield* query(`DROP TRIGGER ${quote(trigger)} ON ${on}`)
    }
    for (const sql of functions) yield* query(sql)
    for (const [each, { trigger, on, sql }] of expected) {
      yield* query(sql)
      if (present.triggers.get(each) === '') yield* query(`ALTER TABLE ${on} ENABLE TRIGGER ${quote(trigger)}`)
    }
  }

  function* dropTriggers(): Transaction<void> {
    const rows = yield* query(
      `SELECT quote_ident(t.tgname) || ' ON ' || t.tgrelid::regclass AS trigger
         FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_class c ON c.oid = t.tgrelid
        WHERE NOT t.tgisinternal AND p.prosrc LIKE ? AND p.pronamespace = CAST(quote_ident(current_schema()) AS regnamespace)`,
      `${TRIGGER_MARK}%`,
    )
    for (const { trigger } of rows) yield* query(`DROP TRIGGER ${trigger}`)
  }

  // ---------------------------------------------------------------- images and copies

  /** Brings the table of base versions in line with the entity's; `gained`: columns that it did not have. */
  function* alignBaseTable(table: Table, own: ReadonlyMap<string, ColumnInfo>): Transaction<{ gained: string[]; isNew: boolean }> {
    const bases = quote(baseTableOf(table))
    const kept = yield* columnsNow(baseTableOf(table))
    const baseTypeOf = (column: string) => (own.get(column) as ColumnInfo).baseType
    if (kept.size === 0) {
      const columns = table.columns.map(c => `${quote(c)} ${baseTypeOf(c)},`)
      yield* query(`CREATE TABLE ${bases} (
        _sync_server BIGINT NOT NULL, _sync_id TEXT COLLATE "C" NOT NULL, _sync_stamp BIGINT NOT NULL, _sync_removed SMALLINT NOT NULL,
        ${columns.join(' ')} PRIMARY KEY (_sync_server, _sync_id, _sync_stamp))`)
      catalog.delete(baseTableOf(table))
      return { gained: [], isNew: true }
    }
    const gained: string[] = []
    for (const column of kept.keys())
      if (!/^_sync_(server|id|stamp|removed)$/.test(column) && !table.columns.includes(column))
        yield* query(`ALTER TABLE ${bases} DROP COLUMN ${quote(column)}`)
    for (const column of table.columns) {
      if (kept.get(column)?.baseType === baseTypeOf(column)) continue
      if (kept.has(column) && (yield* hasNewType(bases, column, own.get(column) as ColumnInfo))) continue
      if (kept.has(column)) yield* query(`ALTER TABLE ${bases} DROP COLUMN ${quote(column)}`)
      yield* addBaseColumn(bases, column, own.get(column) as ColumnInfo)
      gained.push(column)
    }
    catalog.delete(baseTableOf(table))
    return { gained, isNew: false }
  }

  // False where the values that are there cannot be of the new type.
  function* hasNewType(bases: string, column: string, { baseType }: ColumnInfo): Transaction<boolean> {
    const collation = baseType.split(' COLLATE ')[1]
    const type = typeOf({ baseType })
    try {
      yield* savepoint(() =>
        query(
          `ALTER TABLE ${bases} ALTER COLUMN ${quote(column)} TYPE ${type}${collation ? ` COLLATE ${collation}` : ''}
             USING CAST(CAST(${quote(column)} AS text) AS ${type})`,
        ),
      )
      return true
    } catch (error) {
      if (!isOfTypes(error)) throw error
      return false
    }
  }

  // The rows that were there before the column got its default with it, and so do their base versions; a sequence has none for them.
  function* addBaseColumn(bases: string, column: string, { baseType, fallback }: ColumnInfo): Transaction<void> {
    const type = typeOf({ baseType })
    const given = fallback === null || /nextval\(/.test(fallback) ? undefined : `CAST((${fallback}) AS ${type})`
    yield* query(`ALTER TABLE ${bases} ADD COLUMN ${quote(column)} ${baseType}${given ? ` DEFAULT ${given}` : ''}`)
    if (given) yield* query(`ALTER TABLE ${bases} ALTER COLUMN ${quote(column)} DROP DEFAULT`)
  }

  const copyOf = (table: Table) => copiesOf(table.name)

  // Types may have changed since, and some have no equality: what is compared is their text.
  function* stampDifferencesOf(
    table: Table,
    own: ReadonlyMap<string, ColumnInfo>,
    copied: ReadonlyMap<string, ColumnInfo>,
  ): Transaction<void> {
    const [name, copy] = [quote(table.name), quote(copyOf(table))]
    // the key was renamed: nobody can tell which row is which any more, so all of them count as changed
    if (!copied.has(table.key)) return void (yield* query(`UPDATE ${name} SET "_lastChange" = NULL`))
    const asText = (alias: string, column: string) => `CAST(${alias}.${quote(column)} AS text) COLLATE "C"`
    const [id, copiedId] = [idOf(table, 'x'), idOf(table, 'was')]
    const common = ['_lastChange', ...table.columns].filter(c => copied.has(c))
    const differs = common.map(c => `${asText('x', c)} IS DISTINCT FROM ${asText('was', c)}`).join(' OR ')
    const idsOf = function* (sql: string) {
      return (yield* query(sql)).map(row => String(row.id))
    }
    const changed = yield* idsOf(`SELECT ${id} AS id FROM ${name} x JOIN ${copy} was ON ${copiedId} = ${id} WHERE ${differs}`)
    const removed = yield* idsOf(
      `SELECT ${copiedId} AS id FROM ${copy} was WHERE NOT EXISTS (SELECT 1 FROM ${name} x WHERE ${id} = ${copiedId})`,
    )
    const added = yield* idsOf(`SELECT ${id} AS id FROM ${name} x WHERE NOT EXISTS (SELECT 1 FROM ${copy} was WHERE ${copiedId} = ${id})`)
    if (changed.length + removed.length + added.length === 0) return
    yield* tick()
    const isSame = (column: string) => copied.get(column)?.baseType === own.get(column)?.baseType
    const converted = (column: string) => `CAST(CAST(was.${quote(column)} AS text) AS ${typeOf(own.get(column) as ColumnInfo)})`
    const keepCopied = (cellOfOther: (column: string) => string) =>
      query(
        keepBase(table, {
          id: copiedId,
          stamp: 'was."_lastChange"',
          cell: c => (!copied.has(c) ? `x.${quote(c)}` : isSame(c) ? `was.${quote(c)}` : cellOfOther(c)),
          from: `${copy} was LEFT JOIN ${name} x ON ${id} = ${copiedId}`,
          where: `${copiedId} = ANY(CAST(? AS text[])) AND`,
        }),
        [...changed, ...removed],
      )
    try {
      yield* savepoint(() => keepCopied(converted))
    } catch (error) {
      if (!isOfTypes(error)) throw error
      yield* keepCopied(c => `x.${quote(c)}`) // what was there cannot be of the new type
    }
    yield* query(keepAbsentBases(table), added, 0)
    yield* query('DELETE FROM sync_tombstone WHERE collection = ? AND id = ANY(?)', table.name, added)
    yield* query(`UPDATE ${name} x SET "_lastChange" = ${NOW} WHERE ${id} = ANY(CAST(? AS text[]))`, [...changed, ...added])
    yield* query(
      `INSERT INTO sync_tombstone (collection, id, stamp) SELECT CAST(? AS text), k.id, ${NOW} FROM unnest(CAST(? AS text[])) AS k(id)
         ON CONFLICT (collection, id) DO UPDATE SET stamp = excluded.stamp`,
      table.name,
      removed,
    )
  }

  /** The application's triggers on a table. */
  const ownTriggers = (table: Table) =>
    query(
      `SELECT g.tgname AS trigger, g.tgenabled AS enabled FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid
        WHERE g.tgrelid = ${classOf('?')} AND NOT g.tgisinternal AND g.tgenabled IN ('O', 'A') AND p.prosrc NOT LIKE ?`,
      ...[table.name, `${TRIGGER_MARK}%`],
    )

  // ---------------------------------------------------------------- the clock

  function* tick(): Transaction<number> {
    const row = yield* first(`UPDATE sync_clock SET now = greatest(${wallClock}, now + 1) RETURNING now`)
    return Number(row?.now)
  }

  // Where the server does not tell its timeline, the name that is stored stands alone, always.
  function* readTimeline(): Transaction<string> {
    try {
      yield* savepoint(() => query(`SELECT ${TIMELINE}`))
      return TIMELINE
    } catch (error) {
      if (!['42501', '42883', '0A000'].includes(codeOf(error))) throw error
      return ''
    }
  }

  function* isReplica(): Transaction<boolean> {
    return (yield* first('SELECT pg_is_in_recovery() AS replica'))?.replica === true
  }

  return {
    transaction,
    changeSchema,
    async save() {},

    id: idOf,

    key(table, expression) {
      const { castType, collation } = catalog.get(table.name)?.get(table.key) ?? {}
      if (collation) return `${expression} COLLATE ${collation}`
      return castType && castType !== 'text' ? `CAST(${expression} AS ${castType})` : expression
    },

    // the parameter is of the column's own type
    among(table, alias, column) {
      const info = catalog.get(table)?.get(column)
      return !info || COMPARED.test(info.castType)
        ? `${alias}.${quote(column)} = ANY(?)`
        : `CAST(${alias}.${quote(column)} AS text) = ANY(CAST(? AS text[]))`
    },
    list: ids => [...ids],
    text: expression => `(CAST(${expression} AS text) COLLATE "C")`,
    size: sizeOf,

    *spell(table, columns, lists) {
      const infos = yield* columnsOf(table.name)
      yield* query(`SELECT set_config('typeorm_sync.given', ?, true)`, JSON.stringify(lists))
      const block = spellingOf(columns.map(column => ({ column, info: infos.get(column.column) as ColumnInfo })))
      const row = yield* first(`DO ${text(block)}; SELECT current_setting('typeorm_sync.spelled') AS spelled`)
      return JSON.parse(String(row?.spelled))
    },

    insertRows,

    *upsertRows(into, columns, keys, rows) {
      const names = columns.map(nameOf)
      const others = names.filter(c => !keys.includes(c))
      const update = others.length ? `UPDATE SET ${others.map(c => `${quote(c)} = excluded.${quote(c)}`).join(', ')}` : 'NOTHING'
      // a statement may touch a row once
      const places = keys.map(k => names.indexOf(k))
      const last = new Map(rows.map(row => [JSON.stringify(places.map(i => row[i])), row]))
      yield* insertRows(into, columns, [...last.values()], `ON CONFLICT (${keys.map(quote).join(', ')}) DO ${update}`)
    },

    *updateRows(table, columns, keys, rows) {
      if (!rows.length) return
      const names = columns.map(nameOf)
      const { from, cells, json } = yield* records(table, [...names, ...keys], rows)
      const assignments = names.map((c, i) => `${quote(c)} = ${cells[i]}`).join(', ')
      yield* query(`UPDATE ${quote(table)} AS x SET ${assignments} FROM ${from} WHERE ${areEqual(keys, cells.slice(names.length))}`, json)
    },

    *deleteRows(table, keys, rows) {
      if (!rows.length) return
      const { from, cells, json } = yield* records(table, keys, rows)
      yield* query(`DELETE FROM ${quote(table)} AS x USING ${from} WHERE ${areEqual(keys, cells)}`, json)
    },

    *clock() {
      timeline ??= yield* readTimeline()
      const name = timeline ? `collection || '.' || ${timeline}` : 'collection'
      const row = yield* first(`SELECT now, ${name} AS collection, horizon FROM sync_clock`)
      return { now: Number(row?.now), collection: String(row?.collection), horizon: Number(row?.horizon) }
    },

    isReplica,
    tick,

    *bypassCapture(isOurs) {
      yield* query(bypassCapture(isOurs))
    },

    *createTables() {
      const missing = yield* query(
        `SELECT w.name AS name FROM unnest(CAST(? AS text[])) AS w(name) WHERE ${classOf('w.name')} IS NULL`,
        Object.keys(TABLES),
      )
      // in their order: a table before its index
      const names = new Set(missing.map(row => String(row.name)))
      for (const [name, sql] of Object.entries(TABLES)) if (names.has(name)) yield* query(sql)
      const random = () => globalThis.crypto.randomUUID()
      yield* query("INSERT INTO sync_clock (timeline, now, collection, horizon) VALUES ('', 0, ?, 0) ON CONFLICT DO NOTHING", random())
    },

    *prepareTable(table) {
      const own = yield* columnsNow(table.name)
      if (own.size === 0) return { missing: 'table' }
      const missing = ['_lastChange', table.key, ...table.columns].find(c => !own.has(c))
      if (missing !== undefined) return { missing: 'column', column: missing }
      // what a replica has comes from its primary
      if (yield* isReplica()) return { missing: undefined, gained: [], lostTriggers: false }
      const present = (yield* presentTriggers([table])).get(table.name) as Present
      if (present.heirs.length)
        throw new SyncConfigurationError(
          `The table ${table.name} cannot be synced: ${present.heirs.join(', ')} inherits from it, so that its rows are seen there, but nobody sees them change; use partitions instead.`,
        )
      const { gained, isNew } = yield* alignBaseTable(table, own)
      const intact = isIntact(table, present)
      if (!intact) yield* makeTriggers(table, present)
      return { missing: undefined, gained, lostTriggers: !isNew && !intact && present.triggers.size === 0 }
    },

    *columnNames(table) {
      return [...(yield* columnsNow(table)).keys()]
    },

    differs: (one, other) => `CAST(${one} AS text) COLLATE "C" IS DISTINCT FROM CAST(${other} AS text) COLLATE "C"`,

    // Nothing here rebuilds a table, so they stay, and other processes may go on writing.
    *dropTriggers() {},

    *hasTriggers(tables) {
      if (!tables.length) return true
      const present = yield* presentTriggers(tables)
      return tables.every(table => isIntact(table, present.get(table.name)))
    },

    // A migration writes rows of another shape than the triggers know. What others write meanwhile differs from the copy as well.
    *copyRows(tables) {
      yield* dropTriggers()
      for (const table of tables) {
        const { was = table.name } = table
        const own = yield* columnsNow(was)
        if (!own.has('_lastChange')) continue
        // a copy that is there already stems from a change that was not finished: what it holds is older, and true
        if ((yield* columnsNow(copyOf(table))).size) continue
        // an enum type that a migration replaces may not be in use here
        const cells = [...own].map(([c, { isEnum }]) => (isEnum ? `CAST(${quote(c)} AS text) AS ${quote(c)}` : quote(c)))
        yield* query(`CREATE TABLE ${quote(copyOf(table))} AS SELECT ${cells.join(', ')} FROM ${quote(was)}`)
      }
    },

    *stampDifferences(tables) {
      for (const table of tables) {
        const copied = yield* columnsNow(copyOf(table))
        if (copied.size === 0) continue
        const own = yield* columnsNow(table.name)
        if (own.has('_lastChange') && own.has(table.key)) yield* stampDifferencesOf(table, own, copied)
        yield* query(`DROP TABLE ${quote(copyOf(table))}`)
        catalog.delete(copyOf(table))
      }
    },

    *stampUnstamped(tables) {
      let ticked = false
      for (const table of tables) {
        const unstamped = `FROM ${quote(table.name)} x WHERE x."_lastChange" IS NULL`
        if (!(yield* first(`SELECT 1 ${unstamped} LIMIT 1`))) continue
        if (!ticked) yield* tick()
        ticked = true
        yield* query(`DELETE FROM sync_tombstone WHERE collection = ? AND id IN (SELECT ${idOf(table, 'x')} ${unstamped})`, table.name)
        yield* query(`UPDATE ${quote(table.name)} SET "_lastChange" = ${NOW} WHERE "_lastChange" IS NULL`)
      }
    },

    *keepRows(table, ids, except = 0) {
      if (ids.length) yield* query(keepRows(table), ids, except)
    },

    *keepAbsentBases(table, ids, except = 0) {
      if (ids.length) yield* query(keepAbsentBases(table), ids, except)
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

    *mayChange(table) {
      return (yield* ownTriggers(table)).length > 0
    },

    *pastTriggers(table, body) {
      const name = quote(table.name)
      const triggers = yield* ownTriggers(table)
      try {
        for (const { trigger } of triggers) yield* query(`ALTER TABLE ${name} DISABLE TRIGGER ${quote(String(trigger))}`)
        yield* body()
        for (const { trigger, enabled } of triggers)
          yield* query(`ALTER TABLE ${name} ENABLE ${enabled === 'A' ? 'ALWAYS ' : ''}TRIGGER ${quote(String(trigger))}`)
      } catch (error) {
        // somebody else's table, or constraints that were put off
        if (['42501', '55006'].includes(codeOf(error))) throw new ConstraintError('rule', undefined, { cause: error })
        throw error
      }
    },

    *deferConstraints(isDeferred) {
      if (isDeferred) yield* query('SET CONSTRAINTS ALL DEFERRED') // whatever it is, it is looked at with the rest
    },

    *checkConstraints() {
      yield* query('SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED')
    },

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
        found[is_key || is_expression ? 'columns' : 'others'].push(String(name))
      }
      return [...indexes.values()].filter(({ columns }) => !columns.includes(table.key))
    },
  }
}

/**
 * PL/pgSQL that reads lists of texts, one for each column, and writes for each text how the column's type spells it, or the class of the error:
 * `[[["10.0.0.1", null], [null, "22P02"]]]`. In a block, for each text that is no value would cost a savepoint and four statements.
 */
const spellingOf = (columns: readonly { readonly column: ColumnCodec; readonly info: ColumnInfo }[]) => `
  DECLARE sync_given text; sync_text text; sync_all text[]; sync_some text[];
  BEGIN ${columns
    .map(
      ({ column, info }, i) => `
    sync_some := '{}';
    FOR sync_given IN SELECT v FROM json_array_elements_text(CAST(current_setting('typeorm_sync.given') AS json) -> ${i}) AS e(v) LOOP
      BEGIN
        SELECT ${column.read('h.c')} INTO sync_text FROM (SELECT CAST(CAST(sync_given AS ${info.castType}) AS ${typeOf(info)}) AS c) h;
        sync_some := array_append(sync_some, CAST(json_build_array(sync_text, NULL) AS text));
      -- a JSON path has a syntax, and types of extensions fail as they like
      EXCEPTION WHEN data_exception OR integrity_constraint_violation OR program_limit_exceeded OR syntax_error OR name_too_long OR internal_error
        OR raise_exception THEN
        sync_some := array_append(sync_some, CAST(json_build_array(NULL, SQLSTATE) AS text));
      END;
    END LOOP;
    sync_all := array_append(sync_all, '[' || array_to_string(sync_some, ',') || ']');`,
    )
    .join('')}
    PERFORM set_config('typeorm_sync.spelled', '[' || array_to_string(sync_all, ',') || ']', true);
  END`

// Types whose own comparison does for ids.
const COMPARED = /^(text|character varying|bpchar|character|uuid|smallint|integer|bigint)$/

/** The type of a base version's column without its collation. */
const typeOf = ({ baseType }: Pick<ColumnInfo, 'baseType'>) => baseType.replace(/ COLLATE .*/, '')

/** A value, or a type, that cannot become another one. */
const isOfTypes = (error: unknown) => /^(22|42)/.test(codeOf(error))

const nameOf = (target: Target) => (typeof target === 'string' ? target : target.column)
const areEqual = (keys: readonly string[], cells: readonly string[]) => keys.map((k, i) => `x.${quote(k)} = ${cells[i]}`).join(' AND ')

// Parameters: a list of ids, and a server that is left out.
const keepRows = (table: Table) =>
  keepBase(table, {
    id: idOf(table, 'x'),
    stamp: 'x."_lastChange"',
    cell: c => `x.${quote(c)}`,
    from: `${quote(table.name)} x`,
    where: `x.${quote(table.key)} = ANY(?) AND r.id <> ? AND`,
  })

const keepAbsentBases = (table: Table) => keepAbsentBase(table, '(k.id COLLATE "C")', 'unnest(CAST(? AS text[])) AS k(id)', 'r.id <> ? AND')
