// Remedies of clients and servers whose schemas differ.

import type { Mutant } from './mutant.js'

const versions = 'spec/stories/versions.spec.ts'

export const withOtherVersions: Mutant[] = [
  {
    name: 'ignored-is-forgotten',
    hazard: "a newer client's property is unknown to the server, acknowledged, and later overwritten",
    file: 'src/sync/push/acknowledge.ts',
    find: '    if (own.length) yield* noteIgnoredOf(',
    replace: '    if (own.length < 0) yield* noteIgnoredOf(',
    by: [versions],
  },
  {
    name: 'ignored-is-base',
    hazard: 'no version that a server knows has a property which it ignored',
    file: 'src/changes/servers/agreement.ts',
    find: 'return base && state.ignored.length ? withoutIgnored(base, state) : base',
    replace: 'return base && state.ignored.length < 0 ? withoutIgnored(base, state) : base',
    by: [versions],
  },
  {
    name: 'ignored-is-overwritten',
    hazard: 'what another client wrote to a property that the server ignored of ours does not win without a conflict',
    file: 'src/sync/apply/decideRows.ts',
    find: 'const isWhole = !collection.parents.length && !state.ignored.length',
    replace: 'const isWhole = !collection.parents.length',
    by: [versions],
  },
  {
    name: 'ignored-is-never-asked-about',
    hazard: 'a client pushes what a server ignored when the server has a column for it',
    file: 'src/sync/pull/pageReader.ts',
    find: 'this.#ask(question, question.properties ? null : etagOf(asked))',
    replace: 'this.#ask(question, etagOf(asked))',
    by: [versions],
  },
  {
    name: 'ignored-stays-noted',
    hazard: 'what the server has said of a property, it has a column for',
    file: 'src/sync/apply/storeDecided.ts',
    find: '  yield* forgetIgnored(database, server.id, known)\n',
    replace: '',
    by: [versions],
  },
  {
    name: 'what-the-server-never-heard-of-is-agreed',
    hazard: 'the server gets the column, and its default replaces a value of a row that was made on both sides',
    file: 'src/sync/apply/storeDecided.ts',
    find: 'properties: unknownThere(collection, candidate) }',
    replace: 'properties: unknownThere(collection, candidate).slice(0, 0) }',
    by: [versions],
  },
  {
    name: 'removal-drops-edits-of-ignored',
    hazard: 'a removal on the server drops an edit of a value for which it has no column',
    file: 'src/sync/apply/bases.ts',
    find: 'remote !== null || !isEditOfIgnored(exchange, state)',
    replace: 'remote !== null || state.id.length >= 0',
    by: [versions],
  },
  {
    name: 'pending-forgets-ignored',
    hazard: 'the journal lists what the server has ignored',
    file: 'src/sync/conflicts/pending.ts',
    find: '  yield* readIgnoredRows(exchange, visit)\n',
    replace: '',
    by: [versions],
  },
]
