// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the source's text
// Remedies of keys that have several columns.

import type { Mutant } from './mutants.js'

const composite = 'spec/stories/compositeKeys.spec.ts'

export const ofKeys: Mutant[] = [
  {
    name: 'parts-joined-as-they-are',
    hazard: 'two keys have one id',
    file: 'src/databases/values/compositeKeys.ts',
    find: "`REPLACE(REPLACE(CAST(${cell} AS ${type}), '~', '~0'), '/', '~1')`",
    replace: '`CAST(${cell} AS ${type})`',
    by: [composite],
  },
  {
    name: 'generated-key-before-an-update',
    hazard: 'the stamping of a row counts as another edit of it, for what is generated is not there yet',
    file: 'src/databases/sqlite/triggers.ts',
    find: '(parts ? idOfCells(',
    replace: '(parts?.length === 0 ? idOfCells(',
    by: [composite],
  },
  {
    name: 'changed-parts-unseen',
    hazard: 'a row whose key has changed stays where it was, on other devices',
    file: 'src/databases/sqlite/triggers.ts',
    find: "rename: `AFTER UPDATE OF ${keysOf(table).map(quote).join(', ')} ON ${name}",
    replace: 'rename: `AFTER UPDATE OF ${key} ON ${name}',
    by: [composite],
  },
  {
    name: 'key-properties-unchecked',
    hazard: 'a posted row is stored under another key than its id',
    file: 'server/decideWrites.ts',
    find: 'collection.rejectKey(id, value)',
    replace: 'collection.rejectKey(id)',
    by: [composite],
  },
  {
    name: 'new-key-properties-unchecked',
    hazard: 'a new row is stored under another key than its id',
    file: 'src/changes/store/store.ts',
    find: 'collection.rejectKey(id, value)',
    replace: 'collection.rejectKey(id)',
    by: [composite],
  },
  {
    name: 'pulled-key-properties-unchecked',
    hazard: 'a row that a server spells wrongly is stored under another key',
    file: 'src/sync/apply/decideRows.ts',
    find: 'collection.rejectKey(id, given) !== undefined',
    replace: 'collection.rejectKey(id) !== undefined',
    by: [composite],
  },
]
