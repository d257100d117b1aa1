// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the source's text
// Remedies of rows that each database counts for itself.

import type { Mutant } from './mutants.js'

const numbered = 'spec/stories/numberedKeys.spec.ts'
const sameNumbers = 'spec/stories/sameNumbers.spec.ts'

export const ofNumbers: Mutant[] = [
  {
    name: 'all-numbers-are-shared',
    hazard: 'rows that two databases have numbered since they were copied from one are taken for the same rows',
    file: 'src/changes/setUp/paths.ts',
    find: ' WHERE ${number} <= ${sameNumbers}`',
    replace: '`',
    by: [sameNumbers],
  },
  {
    name: 'numbers-are-shared-again',
    hazard: 'the identities of rows that were pushed change, because it was said later that databases share numbers',
    file: 'src/changes/setUp/setUp.ts',
    find: 'if (state.isNew && collection.sameNumbers)',
    replace: 'if (collection.sameNumbers)',
    by: [sameNumbers],
  },
  {
    name: 'numbers-travel',
    hazard: 'a relation leads to another row elsewhere, which has the number there',
    file: 'src/databases/columns.ts',
    find: 'own === column ? describeColumn(column, dataSource) : describeReference(column, own, dataSource)',
    replace: 'describeColumn(column, dataSource)',
    by: [numbered],
  },
  {
    name: 'number-in-a-decision',
    hazard: 'a handler decides for the number of another row',
    file: 'src/databases/columns.ts',
    find: "if (typeof value !== 'number') return value as Json",
    replace: "if (typeof value !== 'symbol') return String(value)",
    by: [numbered],
  },
  {
    name: 'rowid-replaced-unseen',
    hazard: 'INSERT OR REPLACE takes the number of a row, which goes unseen',
    file: 'src/databases/sqlite/triggers.ts',
    find: 'const unique = table.number === undefined ? indexed :',
    replace: "const unique = table.number !== '' ? indexed :",
    by: [numbered],
  },
  {
    name: 'key-of-identities-is-late',
    hazard: 'on SQLite a link between counted rows is not seen when it is made',
    file: 'src/databases/sqlite/triggers.ts',
    find: 'const getsKey = table.paths?.some(p => table.parts?.includes(p.column)) === true',
    replace: "const getsKey = table.name === ''",
    by: [numbered],
  },
  {
    name: 'number-does-not-follow-sqlite',
    hazard:
      'a relation that was changed elsewhere keeps its old number here, be it until the statement is done, when unique values were looked at',
    file: 'src/databases/sqlite/rows.ts',
    find: 'const [columns, rows] = withNumbers(given, lists)',
    replace: 'const [columns, rows] = [given, lists]',
    by: [numbered],
  },
  {
    name: 'parent-comes-late-sqlite',
    hazard: 'a row that came before its parent has no number of it',
    file: 'src/databases/sqlite/paths.ts',
    find: 'SET ${own} = ${number} WHERE',
    replace: 'SET ${own} = NULL WHERE',
    by: [numbered],
  },
  {
    name: 'waiting-identity-cleared-sqlite',
    hazard: 'a reference to a row that is not there yet is lost',
    file: 'src/databases/sqlite/paths.ts',
    find: 'CASE WHEN ${BYPASSED} THEN NEW.${quote(path.column)} END)`',
    replace: 'NULL)`',
    by: [numbered],
  },
  {
    name: 'number-does-not-follow-postgres',
    hazard: 'a relation that was changed elsewhere keeps its old number here',
    file: 'src/databases/postgres/paths.ts',
    find: "AND (TG_OP = 'INSERT' OR ${there} IS DISTINCT FROM OLD.${quote(column)}) THEN",
    replace: "AND TG_OP = 'INSERT' THEN",
    by: [numbered],
  },
  {
    name: 'parent-comes-late-postgres',
    hazard: 'a row that came before its parent has no number of it',
    file: 'src/databases/postgres/paths.ts',
    find: '${set(reference, parentKey, column, parentColumn)}',
    replace: 'NULL;',
    by: [numbered],
  },
  {
    name: 'number-does-not-follow-mysql',
    hazard: 'a relation that was changed elsewhere keeps its old number here',
    file: 'src/databases/mysql/paths.ts',
    find: '`ELSEIF @sync_bypass IS NOT NULL AND ${wrote(path.column)} THEN`',
    replace: "'ELSEIF FALSE THEN'",
    by: [numbered],
  },
  {
    name: 'no-identity-mysql',
    hazard: 'a row that the application makes has no identity',
    file: 'src/databases/mysql/paths.ts',
    find: 'IS NULL THEN SET NEW.${identifier(count)} = UUID(); END IF;',
    replace: 'IS NULL THEN SET @sync_nothing = 1; END IF;',
    by: [numbered],
  },
  {
    name: 'old-rows-without-identity',
    hazard: 'rows from before, or of a migration, have no identity',
    file: 'src/changes/setUp/setUp.ts',
    find: 'yield* fillIdentities(database, present)',
    replace: '',
    by: [numbered],
  },
  {
    name: 'counted-anew',
    hazard: 'a row that others give way to comes back with another number',
    file: 'src/changes/store/release.ts',
    find: 'else if (collection.table.number !== undefined) throw new NoneFree()',
    replace: '',
    by: [numbered],
  },
  {
    name: 'rules-read-numbers',
    hazard: 'what a rule reads of a membership are numbers, which scopes do not have',
    file: 'server/keyReader.ts',
    find: '=> travelling(ownColumnOf(metadata, name))',
    replace: '=> ownColumnOf(metadata, name)',
    by: [numbered],
  },
]
