// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the source's text
// Remedies of entities in several schemas of one PostgreSQL database.

import type { Mutant } from './mutant.js'

const schemas = 'spec/databases/postgresSchemas.spec.ts'

export const ofSchemas: Mutant[] = [
  {
    name: 'another-table-is-synced',
    hazard: 'an old table in the own schema is written to instead of that of the same name which the entity names',
    file: 'src/databases/postgres/schemas.ts',
    find: 'if (found !== declared)',
    replace: 'if (found === null)',
    by: [schemas],
  },
  {
    name: 'members-of-another-table',
    hazard: 'who may see rows is read from another table of the name, in the own schema: somebody sees what is not theirs',
    file: 'server/keyReader.ts',
    find: "metadata.tablePath.split('.').map(quote).join('.')",
    replace: 'quote(metadata.tableName)',
    by: [schemas],
  },
  {
    name: 'tables-of-one-name',
    hazard: 'rows of two tables of the same name, in two schemas, are taken for those of one',
    file: 'src/databases/postgres/schemas.ts',
    find: 'if (!twin) continue',
    replace: 'if (twin !== metadata) continue',
    by: [schemas],
  },
  {
    name: 'triggers-of-another-change-log',
    hazard: 'a change log takes the triggers of a table away from the one that keeps account of it',
    file: 'src/databases/postgres/schemas.ts',
    find: 'if (log === undefined) return',
    replace: 'if (log !== quote(tableSchema)) return',
    by: [schemas],
  },
  {
    name: 'our-tables-of-another-schema',
    hazard: 'a change log writes to the tables of another one, whose schema has tables of its entities',
    file: 'src/databases/postgres/catalog.ts',
    find: "(s.place = 1 OR NOT starts_with(n.name, 'sync_'))",
    replace: 'true',
    by: [schemas],
  },
  {
    name: 'rows-of-another-change-log-are-copied',
    hazard: 'rows of a table of the same name, in another schema, count as removed when the own table is made',
    file: 'src/databases/postgres/migration.ts',
    find: '(place.tableSchema !== (table.schema ?? place.schema) && !triggers?.size)',
    replace: '!triggers',
    by: [schemas],
  },
  {
    name: 'moved-tables-are-not-copied',
    hazard: 'what a migration changes in a table that it moves to another schema is never pulled',
    file: 'src/databases/postgres/migration.ts',
    find: 'yield* addFormerSchemas()',
    replace: '',
    by: [schemas],
  },
  {
    name: 'parents-are-in-the-same-schema',
    hazard: 'no row can be written whose scope, or identity, follows from a parent in another schema',
    file: 'src/databases/postgres/paths.ts',
    find: 'tables.find(t => t.name === name)?.schema ?? schema',
    replace: 'schema',
    by: [schemas],
  },
  {
    name: 'the-administrator-sets-up-another-schema',
    hazard: 'what an administrator runs by hand makes our tables where the path of that session leads',
    file: 'src/databases/postgres/fragments.ts',
    find: 'return `SET search_path TO ${row?.path}`',
    replace: "return row ? '' : ''",
    by: [schemas],
  },
]
