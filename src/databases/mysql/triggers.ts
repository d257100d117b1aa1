// The triggers by which MySQL and MariaDB capture every write, whatever makes it (docs/how-it-works.md, «Capture is in the database»).
//
// They fire for each row. The clock is locked by its update, before anything is read, and until the application's transaction ends:
// commit order is stamp order (law 1). What they read they read with locks (INSERT … SELECT does so), for the application's snapshot may be
// older than a push that was written down meanwhile (law 5).
//
// Foreign keys act without firing triggers. So a trigger does the same before, explicitly, and those of the other table fire. A trigger may not write
// the table that it belongs to: of rows that a table's own foreign key removes, base versions and tombstones are written directly.

import { TRIGGER_MARK } from '../knows.js'
import { keysOf, ownName, type Table } from '../table.js'
import { keepAbsentBase, keepBase } from './bases.js'
import { asId, type Catalog, differs, type ForeignKey, pinned } from './catalog.js'
import { NOW, tickSql } from './clock.js'
import { identifier, literal } from './connection.js'
import { hasMoved, liftExits, writeExits } from './exits.js'
import { reaches } from './foreignKeys.js'
import { pathStatements } from './paths.js'

const RECURSIVE_KEY = 'd.k'

const EVENTS = ['BEFORE INSERT', 'AFTER INSERT', 'BEFORE UPDATE', 'AFTER UPDATE', 'BEFORE DELETE', 'AFTER DELETE'] as const
type Event = (typeof EVENTS)[number]

export interface Trigger {
  readonly name: string
  readonly body: string
  readonly sql: string
}

type Bodies = readonly (readonly [event: Event, statements: readonly string[]])[]

/** The triggers of a table: one that is synced, or one whose removals only reach rows of others. `wallClock` is SQL for milliseconds since 1/1/1970. */
export function triggersOf(catalog: Catalog, table: string, tables: readonly Table[], wallClock: string): Trigger[] {
  const tick = `${tickSql(wallClock)};`
  const synced = tables.find(t => t.name === table)
  const reached = reachedRows(catalog, table, tables, synced, tick)
  const bodies = [...reached.removals, ...(synced ? ownRows(catalog, synced, reached, tick) : reached.changes)]
  const always = new Map<Event, readonly string[]>(pathStatements(catalog, table, tables))
  return EVENTS.flatMap(event => {
    const statements = bodies.find(([each]) => each === event)?.[1] ?? []
    const more = always.get(event) ?? []
    return statements.length + more.length ? triggerOf(table, event, statements, more) : []
  })
}

/** What foreign keys do to rows of other tables, and of this one. */
function reachedRows(catalog: Catalog, table: string, tables: readonly Table[], synced: Table | undefined, tick: string) {
  const own = catalog.foreignKeys.filter(k => k.parent === table)
  const others = own.filter(k => k.child !== table && (catalog.stamped.has(k.child) || reaches(catalog, k.child)))
  const ownTree = synced ? own.filter(k => k.child === table && k.onDelete === 'CASCADE') : []
  const removals = [
    ...(synced && ownTree.length ? removeTree(catalog, synced, ownTree, others, tick) : []),
    ...others.filter(k => k.onDelete === 'CASCADE').map(k => `DELETE FROM ${identifier(k.child)} WHERE ${refersTo(k, 'OLD')};`),
    ...others.filter(k => k.onDelete === 'SET NULL').map(k => clear(catalog, k)),
  ]

  const moved = others.filter(k => k.onUpdate === 'CASCADE' || k.onUpdate === 'SET NULL')
  const ifMoved = (k: ForeignKey, statements: string[]) => [
    `IF @@foreign_key_checks AND (${k.parentColumns
      .map(c => differs(catalog.columns.get(table)?.get(c), `OLD.${identifier(c)}`, `NEW.${identifier(c)}`))
      .join(' OR ')}) THEN`,
    ...statements,
    'END IF;',
  ]
  const before = moved.flatMap(k => {
    if (k.onUpdate === 'SET NULL') return ifMoved(k, [clear(catalog, k)])
    const child = tables.find(t => t.name === k.child)
    return child
      ? ifMoved(k, [tick, keepChildren(catalog, child, k), ...childrenLeave(catalog, child, k), ...childrenGo(catalog, child, k)])
      : []
  })
  const after = moved
    .filter(k => k.onUpdate === 'CASCADE' && catalog.stamped.has(k.child))
    .flatMap(k => {
      const child = tables.find(t => t.name === k.child)
      return ifMoved(k, child && hasInKey(child, k) ? childrenCome(catalog, child, k) : [touch(catalog, k)])
    })
  return {
    ...{ before, after },
    removals: [['BEFORE DELETE', removals.length ? ['IF @@foreign_key_checks THEN', ...removals, 'END IF;'] : []]] satisfies Bodies,
    changes: [
      ['BEFORE UPDATE', before],
      ['AFTER UPDATE', after],
    ] satisfies Bodies,
  }
}

/** Stamps the table's own rows, and keeps what they were. */
function ownRows(catalog: Catalog, table: Table, { before, after }: { before: string[]; after: string[] }, tick: string): Bodies {
  const column = catalog.columns.get(table.name)?.get(table.key)
  const key = identifier(table.key)
  const [oldId, newId] = [asId(column, `OLD.${key}`), asId(column, `NEW.${key}`)]
  const collection = literal(table.name)
  const stamp = 'SET NEW.`_lastChange` = (SELECT `now` FROM sync_clock);'
  const baseVersion = keepBase(table, { id: oldId, stamp: 'OLD.`_lastChange`', cell: c => `OLD.${identifier(c)}` })
  const writeTombstone = (at: string) => `INSERT INTO sync_tombstone (collection, id, stamp) VALUES (${collection}, ${oldId}, ${at})
        ON DUPLICATE KEY UPDATE stamp = VALUES(stamp);`
  // with a lock, or an old snapshot would hide a server that was opened since
  const hasServer = `EXISTS (SELECT 1 FROM sync_server WHERE collection = ${collection} LOCK IN SHARE MODE)`
  const keepOld = `IF ${hasServer} THEN ${baseVersion}; END IF;`
  const own = catalog.columns.get(table.name)
  const ofOld = { id: oldId, cell: (c: string) => `OLD.${identifier(c)}` }
  const inScopes = (...statements: string[]) => (table.scopes.length ? statements : [])
  const createdLocally = [
    `IF ${hasServer} THEN ${keepAbsentBase(table, newId)}; END IF;`,
    ...liftExits(table, own, newId),
    `DELETE FROM sync_tombstone WHERE collection = ${collection} AND id = ${newId};`,
  ]
  const isMoved = differs(column, `OLD.${key}`, `NEW.${key}`)
  const left = inScopes(
    `IF ${isMoved} OR ${hasMoved(table.scopes, own, 'OLD', 'NEW')} THEN`,
    `${writeExits(table, { ...ofOld, stamp: 'NEW.`_lastChange`', removed: `IF(${isMoved}, 1, 0)` })};`,
    'END IF;',
  )
  const removed = inScopes(`${writeExits(table, { ...ofOld, stamp: NOW, removed: '1' })};`)
  const moved = [`IF ${isMoved} THEN`, writeTombstone('NEW.`_lastChange`'), ...createdLocally, 'END IF;']
  return [
    ['BEFORE INSERT', [tick, stamp]],
    ['AFTER INSERT', createdLocally],
    ['BEFORE UPDATE', [...before, tick, stamp]],
    ['AFTER UPDATE', [keepOld, ...left, ...moved, ...after]],
    ['AFTER DELETE', [tick, keepOld, writeTombstone(NOW), ...removed]],
  ]
}

// where a correction fails, the engine goes on perhaps, and a variable is not rolled back
const DECLARED = `DECLARE sync_bypassed INTEGER DEFAULT @sync_bypass;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN SET @sync_bypass = sync_bypassed; RESIGNAL; END;`

/** `always`: statements that are not bypassed; those of paths come first where a row is about to be written, and last where it was. */
function triggerOf(table: string, event: Event, statements: readonly string[], always: readonly string[]): Trigger {
  const name = ownName(`sync_${event.toLowerCase().replace(' ', '_')}_`, table)
  const own = statements.length ? [`IF @sync_bypass IS NULL THEN\n    ${statements.join('\n    ')}\n  END IF;`] : []
  const isLast = event.startsWith('AFTER')
  const rest = isLast ? [...own, ...always] : [...always, ...own]
  const all = [...(rest.some(each => each.includes('= sync_bypassed')) ? [DECLARED] : []), ...rest]
  const body = `BEGIN ${TRIGGER_MARK}\n  ${all.join('\n  ')}\nEND`
  return { name, body, sql: `CREATE TRIGGER ${identifier(name)} ${event} ON ${identifier(table)} FOR EACH ROW ${body}` }
}

const refersTo = (key: ForeignKey, row: 'OLD' | 'NEW') =>
  key.childColumns
    .map((c, i) => `${identifier(key.child)}.${identifier(c)} = ${row}.${identifier(key.parentColumns[i] as string)}`)
    .join(' AND ')

const columnsOf = (catalog: Catalog, table: string) => catalog.columns.get(table)?.values() ?? []

// What ON DELETE SET NULL would do.
const clear = (catalog: Catalog, key: ForeignKey) =>
  `UPDATE ${identifier(key.child)} SET ${key.childColumns.map(c => `${identifier(c)} = NULL`).join(', ')}${pinned(columnsOf(catalog, key.child))} WHERE ${refersTo(key, 'OLD')};`

// ON UPDATE CASCADE: children cannot follow before their parent has moved. Their base versions are kept before, and they are touched after.
function keepChildren(catalog: Catalog, child: Table, key: ForeignKey): string {
  const name = identifier(child.name)
  const source = { id: idIn(catalog, child), stamp: `${name}.\`_lastChange\``, cell: (c: string) => `${name}.${identifier(c)}` }
  return `${keepBase(child, { ...source, from: `, ${name}`, where: `${refersTo(key, 'OLD')} AND` })};`
}

// A child whose scope is what it refers to by: it leaves with its parent's old key.
function childrenLeave(catalog: Catalog, child: Table, key: ForeignKey): string[] {
  const isOtherRow = hasInKey(child, key)
  if (!(isOtherRow ? child.scopes.length : key.childColumns.some(c => child.scopes.includes(c)))) return []
  const name = identifier(child.name)
  const cell = (c: string) => `${name}.${identifier(c)}`
  const source = { id: idIn(catalog, child), stamp: NOW, removed: isOtherRow ? '1' : '0', cell }
  return [`${writeExits(child, { ...source, from: ` FROM ${name} WHERE ${refersTo(key, 'OLD')}` })};`]
}

/** Is the foreign key a part of the child's own key? Then a child that follows its parent is another row. */
const hasInKey = (child: Table, key: ForeignKey) => keysOf(child).some(c => key.childColumns.includes(c))

const idIn = (catalog: Catalog, { name, key }: Table) => asId(catalog.columns.get(name)?.get(key), `${identifier(name)}.${identifier(key)}`)

function childrenGo(catalog: Catalog, child: Table, key: ForeignKey): string[] {
  if (!hasInKey(child, key)) return []
  return [
    `INSERT INTO sync_tombstone (collection, id, stamp)
      SELECT ${literal(child.name)}, ${idIn(catalog, child)}, ${NOW} FROM ${identifier(child.name)} WHERE ${refersTo(key, 'OLD')}
      ON DUPLICATE KEY UPDATE stamp = VALUES(stamp);`,
  ]
}

// They are new rows: what their own triggers would keep as replaced never was there.
function childrenCome(catalog: Catalog, child: Table, key: ForeignKey): string[] {
  const ids = `SELECT ${idIn(catalog, child)} AS id FROM ${identifier(child.name)} WHERE ${refersTo(key, 'NEW')}`
  return [
    'SET @sync_bypass = 1;',
    `UPDATE ${identifier(child.name)} SET \`_lastChange\` = ${NOW}${pinned(columnsOf(catalog, key.child))} WHERE ${refersTo(key, 'NEW')};`,
    'SET @sync_bypass = sync_bypassed;',
    `${keepAbsentBase(child, 'k.id', { from: `(${ids}) k CROSS JOIN ` })};`,
    `DELETE FROM sync_tombstone WHERE collection = ${literal(child.name)} AND id IN (${ids});`,
  ]
}

const touch = (catalog: Catalog, key: ForeignKey) =>
  `UPDATE ${identifier(key.child)} SET \`_lastChange\` = NULL${pinned(columnsOf(catalog, key.child))} WHERE ${refersTo(key, 'NEW')};`

// A table whose own foreign key removes rows: all that hang below, each with its base version and tombstone, and what hangs on those elsewhere.
function removeTree(catalog: Catalog, table: Table, keys: readonly ForeignKey[], others: readonly ForeignKey[], tick: string): string[] {
  const name = identifier(table.name)
  const key = identifier(table.key)
  const column = catalog.columns.get(table.name)?.get(table.key)
  const joined = (k: ForeignKey, child: string, parent: string) =>
    k.childColumns.map((c, i) => `${child}.${identifier(c)} = ${parent}${identifier(k.parentColumns[i] as string)}`).join(' AND ')
  const below = `WITH RECURSIVE d (k) AS (
        SELECT x.${key} FROM ${name} x WHERE ${keys.map(k => `(${joined(k, 'x', 'OLD.')})`).join(' OR ')}
        UNION SELECT x.${key} FROM d JOIN ${name} y ON y.${key} = d.k JOIN ${name} x ON ${keys.map(k => `(${joined(k, 'x', 'y.')})`).join(' OR ')})
      `
  const hanging = (k: ForeignKey) =>
    `(${k.childColumns.map(identifier).join(', ')}) IN (${below}SELECT ${k.parentColumns.map(c => `z.${identifier(c)}`).join(', ')} FROM d JOIN ${name} z ON z.${key} = d.k)`
  const statements = others.flatMap(k => {
    const child = identifier(k.child)
    if (k.onDelete === 'CASCADE') return `DELETE FROM ${child} WHERE ${hanging(k)};`
    if (k.onDelete !== 'SET NULL') return []
    return `UPDATE ${child} SET ${k.childColumns.map(c => `${identifier(c)} = NULL`).join(', ')}${pinned(columnsOf(catalog, k.child))} WHERE ${hanging(k)};`
  })
  const id = asId(column, RECURSIVE_KEY)
  return [
    tick,
    ...statements,
    `${keepBase(table, {
      with: below,
      id,
      stamp: 'z.`_lastChange`',
      cell: c => `z.${identifier(c)}`,
      from: `, d JOIN ${name} z ON z.${key} = d.k`,
      where: '',
    })};`,
    ...(table.scopes.length
      ? [
          `${writeExits(table, {
            ...{ with: below, id, stamp: NOW, removed: '1', cell: (c: string) => `z.${identifier(c)}` },
            from: ` FROM d JOIN ${name} z ON z.${key} = d.k`,
          })};`,
        ]
      : []),
    `INSERT INTO sync_tombstone (collection, id, stamp)
      ${below}SELECT ${literal(table.name)}, ${id}, ${NOW} FROM d
      ON DUPLICATE KEY UPDATE stamp = VALUES(stamp);`,
  ]
}
