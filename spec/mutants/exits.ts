// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the source's text
// The remedies by which what leaves a scope is told to those who held it.

import type { Mutant } from './mutants.js'

const exits = 'spec/databases/exits.spec.ts'
const more = 'spec/changes/exits.spec.ts'

export const ofExits: Mutant[] = [
  {
    name: 'moves-leave-no-exit',
    hazard: 'a row that the engine moves stays with those who held its former scope (law 14)',
    file: 'src/changes/store/exits.ts',
    find: '      yield* database.keepExits(table, moved, stamp, false)\n',
    replace: '',
    by: [exits],
  },
  {
    name: 'removals-leave-no-exit',
    hazard: 'a row that the engine removes stays with those who held its scope (law 14)',
    file: 'src/changes/store/exits.ts',
    find: '      yield* database.keepExits(table, idsOf(some.filter(c => c.value === null)), stamp, true)\n',
    replace: '',
    by: [exits],
  },
  {
    name: 'triggers-move-unseen',
    hazard: "what an application's trigger moves while a row is stored leaves no exit",
    file: 'src/changes/store/exits.ts',
    find: '(mayChange || isMove(collection, c.old.value, c.value))',
    replace: 'isMove(collection, c.old.value, c.value)',
    by: [more],
  },
  {
    name: 'exits-of-rows-that-stay',
    hazard: 'a row that stays in its scope is told as one that left',
    file: 'src/changes/store/exits.ts',
    find: '      for (const each of uncertain) yield* settleExits(database, ...each)\n',
    replace: '',
    by: [more],
  },
  {
    name: 'replaced-rows-leave-no-exit',
    hazard: 'SQLite: an OR REPLACE removes rows without an exit',
    file: 'src/databases/sqlite/exits.ts',
    find: '      return inScopes(`${writeExits(table, { ...source, from, where })};\n',
    replace: '      return inScopes(`\n',
    by: [exits],
  },
  {
    name: 'exits-within-the-stamping',
    hazard: "SQLite: a trigger of the application's that moves a row while ours runs leaves no exit",
    file: 'src/databases/sqlite/triggers.ts',
    find: '    ...(table.scopes.length && {\n',
    replace: '    ...(table.scopes.length > 99 && {\n',
    by: [exits],
  },
  {
    name: 'collations-hide-moves',
    hazard: 'a move that a collation takes for none leaves no exit',
    file: 'src/databases/mysql/exits.ts',
    find: 'columns.map(c => differs(own?.get(c), ',
    replace: 'columns.map(c => differs(undefined, ',
    by: [exits],
  },
  {
    name: 'exits-of-transactions-move-on',
    hazard: 'PostgreSQL: of a row that moves twice in a transaction only the scope in between is told',
    file: 'src/databases/postgres/exits.ts',
    find: 'DO UPDATE SET _sync_removed = greatest(i._sync_removed, excluded._sync_removed)`',
    replace: "DO UPDATE SET _sync_removed = excluded._sync_removed${columns.map(c => `, ${quote(c)} = excluded.${quote(c)}`).join('')}`",
    by: [exits],
  },
  {
    name: 'own-trees-leave-no-exit',
    hazard: 'MySQL: rows that a table removes by a foreign key to itself leave no exit',
    file: 'src/databases/mysql/triggers.ts',
    find: '    ...(table.scopes.length\n      ? [',
    replace: '    ...(table.scopes.length > 99\n      ? [',
    by: [exits],
  },
  {
    name: 'scopes-that-are-new-are-old',
    hazard: 'a client that read before a scope was declared is not told what left it until then',
    file: 'src/changes/setUp/setUp.ts',
    find: '  if (gainsScope) {\n',
    replace: '  if (gainsScope && isMissed) {\n',
    by: [more],
  },
  {
    name: 'migrations-leave-no-exit',
    hazard: 'rows that a migration moves or removes stay with those who held their scopes',
    file: 'src/databases/sqlite/migration.ts',
    find: '  yield* exitsOfMigration(table, copy, copied, [...changed, ...removed])\n',
    replace: '',
    by: [more],
  },
  {
    name: 'pulled-moves-leave-no-exit',
    hazard: 'a relay does not tell its devices of rows that it pulled into another scope',
    file: 'src/sync/apply/applyUnread.ts',
    find: '      yield* noteAnyExits(database, collection, moves, now)\n',
    replace: '',
    by: [more],
  },
  {
    name: 'wiped-for-those-behind-alone',
    hazard: 'who has read all of a device keeps what is wiped there',
    file: 'src/sync/handOver.ts',
    find: "'UPDATE sync_clock SET horizon = ?', yield* database.tick())",
    replace: "'UPDATE sync_clock SET horizon = ?', (yield* database.clock()).now)",
    by: ['spec/stories/users.spec.ts'],
  },
  {
    name: 'exits-are-never-collected',
    hazard: 'exits pile up for ever',
    file: 'server-koa/maintenance.ts',
    find: '      from = await database.transaction(() => collectExits(database, collection, horizon, after))\n',
    replace: '      from = undefined\n',
    by: [exits],
  },
]
