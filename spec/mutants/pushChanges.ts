// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the source's text
// Remedies of what is known of a change until it is pushed: capture, base versions, the order in which rows are stored.

import type { Mutant } from './mutant.js'

const pushes = 'spec/hazards/pushes.spec.ts'
const rows = 'spec/hazards/rows.spec.ts'
const attacks = 'spec/server-koa/attacks.spec.ts'
const capture = 'spec/changes/capture.spec.ts'
const schema = 'spec/changes/setUp/schema.spec.ts'
const bytewise = 'spec/changes/rows/rows.spec.ts'
const twoDevices = 'spec/stories/twoDevices.spec.ts'
const mutual = 'spec/stories/mutualReferences.spec.ts'
const poison = 'spec/server-koa/poison.spec.ts'
const triggers = 'spec/server-koa/triggers.spec.ts'

export const notingChanges: Mutant[] = [
  {
    name: 'put-off-reference-is-unknown-there',
    hazard: 'a reference that is put off is null on the server: a conflict with oneself, where others change the row',
    file: 'src/changes/servers/ignored.ts',
    find: '  for (const property of putOff) known[property] = null\n',
    replace: '',
    by: [mutual],
  },
  {
    name: 'cursor-without-push',
    hazard: 'an answer counts only if no push is under way; law 3',
    file: 'src/changes/servers/serverState.ts',
    find: 'reads, pushedTo, push?.key])',
    replace: "reads, pushedTo, push?.key === ''])",
    by: [pushes, 'simulation'],
  },
  {
    name: 'noted-stamp-is-pushed',
    hazard: 'a noted stamp is not pushed, however far the rest is; law 7',
    file: 'src/changes/servers/agreement.ts',
    find: '|| server.stored.has(stamp)) && !isNoted(state, stamp)',
    replace: '|| server.stored.has(stamp)) && (stamp >= 0 || !isNoted(state, stamp))',
    by: [pushes, 'simulation'],
  },
  {
    name: 'noted-stamp-is-in-flight',
    hazard: 'edited while a push is under way, the version of a held row is kept as if it were in it',
    file: 'src/databases/knows.ts',
    find: '\n      AND NOT EXISTS (SELECT 1 FROM sync_unapplied c WHERE c.server = r.id AND c.id = ${version.id} AND c.unpushed = ${version.stamp})',
    replace: '',
    by: [capture],
  },
  {
    name: 'rejected-stamp-is-in-a-push',
    hazard: 'edited while a push is under way, the version of a rejected row is kept as if it were in it',
    file: 'src/databases/knows.ts',
    find: '\n      AND NOT EXISTS (SELECT 1 FROM sync_rejection j WHERE j.server = r.id AND j.id = ${version.id} AND j.stamp = ${version.stamp})',
    replace: '',
    by: [capture],
  },
  {
    name: 'keep-in-flight',
    hazard: 'an edit in flight: the base version kept at the edit is the pushed row, and becomes the base; keep-in-flight',
    file: 'src/databases/knows.ts',
    find: ' OR (r.push_key IS NOT NULL AND (${stamp}',
    replace: ' OR (r.push_key IS NULL AND 0 AND (${stamp}',
    by: [capture, 'simulation'],
  },
  {
    name: 'unread-rows-may-be-ours',
    hazard: 'a row that was changed here is not overwritten without a look; law 7',
    file: 'src/changes/servers/agreement.ts',
    find: '  sql: `"_lastChange" < ? OR',
    replace: '  sql: `1 OR "_lastChange" < ? OR',
    by: ['spec/stories/failure.spec.ts'],
  },
  {
    name: 'savepoint-that-cannot-be-rolled-back',
    hazard: 'what a savepoint stored does not stay where its rollback fails; law 1',
    file: 'src/databases/statement.ts',
    find: 'if (error instanceof Rollback || error instanceof ConstraintError || error instanceof ValueError) throw failed',
    replace: 'void failed',
    by: ['spec/stories/failure.spec.ts'],
  },
  {
    name: 'held-rows-are-pushed',
    hazard: 'what is unapplied, or was rejected, is held back from pushes; law 7',
    file: 'src/changes/servers/agreement.ts',
    find: 'unapplied !== undefined || rejection?.stamp === version.stamp',
    replace: 'rejection?.stamp === version.stamp && unapplied !== undefined',
    by: [twoDevices, 'simulation'],
  },
  {
    name: 'triggers-change-values',
    hazard: '`since` is left out where a stored row differs from what was posted',
    file: 'src/databases/sqlite/many.ts',
    find: 'return (yield* first(own, table, `%${TRIGGER_MARK}%`)) !== undefined',
    replace: 'return (yield* first(own, table, `%${TRIGGER_MARK}%`)) === null',
    by: [pushes],
  },
  {
    name: 'ids-in-bytewise-order',
    hazard: 'a page ends inside a stamp: ids are compared as the database does',
    file: 'src/changes/rows/place.ts',
    find: 'unit <= 0xdfff ? unit + 0x10000 : unit',
    replace: 'unit <= 0xdfff ? unit : unit',
    by: [bytewise],
  },
  {
    name: 'base-versions-of-held-rows',
    hazard: 'base versions that are still a base stay',
    file: 'src/changes/servers/baseVersions.ts',
    find: 'if (isAllPushed(server, now) && !there.unapplied && !there.rejected)',
    replace: 'if (isAllPushed(server, now))',
    by: [pushes, 'simulation'],
  },
  {
    name: 'schema-changes-are-seen',
    hazard: "TypeORM's SQLite schema builder recreates tables and the triggers are gone",
    file: 'src/databases/sqlite/capture.ts',
    find: ' && seen.version === version) return true',
    replace: ') return true',
    by: [schema, rows],
  },
  {
    name: 'insert-or-replace',
    hazard: 'an upsert on an id that the client chose overwrites a row through another unique key',
    file: 'src/databases/sqlite/rows.ts',
    find: '  return `INSERT INTO ${quote(into)}',
    replace: '  return `INSERT OR REPLACE INTO ${quote(into)}',
    by: [attacks],
  },
  {
    name: 'unforeseen-error-blocks-the-queue',
    hazard: 'one bad row blocks the queue for ever, whatever the database says of it (SQLite)',
    file: 'src/databases/sqlite/errors.ts',
    find: "? 'rule' : 'unknown'",
    replace: "? 'rule' : undefined",
    by: [poison],
  },
  {
    name: 'unforeseen-error-blocks-the-queue-on-postgres',
    hazard: 'one bad row blocks the queue for ever, whatever the database says of it (PostgreSQL)',
    file: 'src/databases/postgres/errors.ts',
    find: "test(sql) ? 'unknown' : undefined)",
    replace: 'test(sql) ? undefined : undefined)',
    by: [poison],
  },
  {
    name: 'unforeseen-error-blocks-the-queue-on-mysql',
    hazard: 'one bad row blocks the queue for ever, whatever the database says of it (MySQL)',
    file: 'src/databases/mysql/errors.ts',
    find: "test(sql) ? { kind: 'unknown', column: undefined } : undefined",
    replace: 'test(sql) ? undefined : undefined',
    by: [poison],
  },
  {
    name: 'missing-privilege-is-the-rows-fault',
    hazard: 'a privilege that is missing for the table is an error of the whole',
    file: 'src/databases/postgres/errors.ts',
    find: "if (code === '42501') return /^aclcheck/.test((error as DatabaseError).routine ?? '')",
    replace: "if (code === '42501') return false",
    by: [poison],
  },
  {
    name: 'policy-is-an-error-of-the-whole',
    hazard: 'one bad row blocks the queue for ever: row level security rejects a row',
    file: 'src/databases/postgres/errors.ts',
    find: "if (code === '42501') return /^aclcheck/.test((error as DatabaseError).routine ?? '')",
    replace: "if (code === '42501') return true",
    by: [poison],
  },
  {
    name: 'skipped-write-counts-as-stored',
    hazard: "an application's trigger skips the write: what is acknowledged is what is stored",
    file: 'src/changes/store/storeChanges.ts',
    find: '      yield* rejectSkipped(\n        log.database,',
    replace: '      if (stamp < 0) yield* rejectSkipped(\n        log.database,',
    by: [triggers],
  },
  {
    name: 'skipped-new-row-counts-as-stored',
    hazard: "an application's trigger skips the write of a row that is new: what is acknowledged is what is stored",
    file: 'src/changes/store/store.ts',
    find: '      yield* rejectSkipped(database, collection, newRows, stamp)\n',
    replace: '',
    by: [triggers],
  },
  {
    name: 'kept-row-is-not-sent',
    hazard: "an application's trigger keeps the row that is removed: every client gets what became of it",
    file: 'src/changes/rows/skipped.ts',
    find: "  yield* database.updateRows(table.name, ['_lastChange'], [table.key], rows)\n",
    replace: '  void rows\n',
    by: [triggers],
  },
  {
    name: 'postgres-triggers-are-not-seen',
    hazard: "an application's trigger skips the write (PostgreSQL)",
    file: 'src/databases/postgres/rules.ts',
    find: 'return row?.may_skip === true',
    replace: "return row?.may_skip === 'true'",
    by: [triggers],
  },
]
