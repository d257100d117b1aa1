// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the source's text
// Remedies of keys that have several columns, and of many-to-many relations.

import type { Mutant } from './mutants.js'

const composite = 'spec/stories/compositeKeys.spec.ts'
const links = 'spec/stories/manyToMany.spec.ts'

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
  {
    name: 'links-contest-a-removal',
    hazard: 'somebody is asked about a tag of a task that is removed',
    file: 'src/sync/apply/removals.ts',
    find: 'const rows = removed.filter(row => !row.collection.isLink)',
    replace: 'const rows = removed',
    by: [links],
  },
  {
    name: 'links-restore-a-row',
    hazard: 'somebody is asked about a removed task because another device has tagged it',
    file: 'src/sync/apply/defer.ts',
    find: 'isRemovedHere && !exchange.collection.isLink',
    replace: 'isRemovedHere',
    by: [links],
  },
  {
    name: 'links-hold-a-removal-back',
    hazard: 'a task is not removed elsewhere while a tag of it waits',
    file: 'src/sync/push/heldBack.ts',
    find: 'if (collection.isLink) continue',
    replace: 'if (collection.isLink && !collection.name) continue',
    by: [links],
  },
  {
    name: 'links-are-asked-about',
    hazard: 'somebody is asked whether a link is there',
    file: 'src/sync/apply/bases.ts',
    find: 'collection.isLink && merged.isContested ?',
    replace: 'collection.isLink && !collection.name ?',
    by: [links],
  },
  {
    name: 'links-of-others-block-a-removal',
    hazard: 'a tag cannot be removed by who may not change each task that has it',
    file: 'server/storeRows.ts',
    find: 'changes.filter(change => !change.collection.isLink)',
    replace: 'changes.filter(change => change.id !== undefined)',
    by: [links],
  },
  {
    name: 'links-by-the-right-to-read',
    hazard: 'who only sees a task tags it',
    file: 'server/writeFilters.ts',
    find: "readWriteFilters(log, access, parent, 'update', reader)",
    replace: '[{ condition: ALWAYS, columns: [] }]',
    by: [links],
  },
  {
    name: 'links-of-a-replaced-row',
    hazard: 'two tags that mean the same are made one, and nothing has it',
    file: 'src/sync/conflicts/resolve.ts',
    find: 'const writes = isKeyPart',
    replace: 'if (isKeyPart) continue\n    const writes = isKeyPart',
    by: [links],
  },
]
