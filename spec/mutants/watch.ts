// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the source's text
// The remedies of what shows rows.

import type { Mutant } from './mutant.js'

const watches = 'spec/entity/watch/watch.spec.ts'
const watched = 'spec/entity/watch/watched.spec.ts'
const moments = 'spec/entity/watch/moments.spec.ts'
const synced = 'spec/entity/watch/synced.spec.ts'
const tables = 'spec/entity/watch/readTables.spec.ts'
const hooks = 'spec/react/react.spec.ts'
const looker = 'src/entity/watch/looker.ts'

export const ofWatching: Mutant[] = [
  {
    name: 'half-of-a-transaction-is-shown',
    hazard: 'a query reads on a shared connection what is not committed, and perhaps never will be',
    file: looker,
    find: "return mark === undefined || mark === (await database.transaction(() => database.mark(), { mode: 'read' }))",
    replace: 'return true || !mark || !database',
    by: [moments],
  },
  {
    name: 'two-moments-are-shown-as-one',
    hazard: 'a query of two statements shows a row as it was before a commit beside one as it was after',
    file: 'src/entity/watch/watch.ts',
    find: "startTransaction('REPEATABLE READ')",
    replace: "startTransaction('READ COMMITTED')",
    by: [moments],
  },
  {
    name: 'what-was-purged-is-still-shown',
    hazard: 'a row that its user does not see any more left no stamp, and the last stamp of its table stays the same',
    file: looker,
    find: 'yield* this.#readStamps(`${collection} ${horizon}`)',
    replace: 'yield* this.#readStamps(collection)',
    by: [synced],
  },
  {
    name: 'its-own-commit-is-news',
    hazard: 'a watch of a table that is not synced reads on and on, for its own transaction is one of this process',
    file: looker,
    find: '!this.#own.has(queryRunner) && ',
    replace: '',
    by: [watches],
  },
  {
    name: 'not-synced-and-not-seen',
    hazard: 'a query that joins a table without stamps is not read again when that changes',
    file: 'src/entity/watch/watch.ts',
    find: 'if (changed === undefined) return all',
    replace: 'if (changed === undefined) continue',
    by: [watches],
  },
  {
    name: 'links-are-not-read',
    hazard: 'a link of a many-to-many relation is made, and the rows that show it stay as they were',
    file: 'src/entity/watch/readTables.ts',
    find: 'if (junctionEntityMetadata) this.entity(junctionEntityMetadata)',
    replace: '',
    by: [tables],
  },
  {
    name: 'sql-of-the-application-is-passed-over',
    hazard: 'a condition of raw SQL reads a table that nobody looks at',
    file: 'src/entity/watch/readTables.ts',
    find: "if (operator.type === 'raw') this.isOpen = true",
    replace: '',
    by: [tables],
  },
  {
    name: 'queries-overlap',
    hazard: 'an earlier query ends after a later one, and its rows are shown',
    file: 'src/entity/watch/watched.ts',
    find: '!look || this.#isReading || ',
    replace: '!look || ',
    by: [watched],
  },
  {
    name: 'all-watches-read-in-one-task',
    hazard: 'a page with many lists stands still until all of them were read',
    file: looker,
    find: 'if (this.#watchers.has(watcher) && emit(watcher) === true) await macrotask()',
    replace: 'if (this.#watchers.has(watcher)) tell(watcher)',
    by: [watched],
  },
  {
    name: 'watching-what-is-closed',
    hazard: 'a loop over the rows of a data source that was closed never ends',
    file: looker,
    find: 'if (this.isClosed) emit = watcher => watcher.closed()',
    replace: 'if (this.isClosed) return',
    by: [watched],
  },
  {
    name: 'what-is-held-is-what-is-stored',
    hazard: 'an object that was shown and changed by hand is shown as it is in no database',
    file: 'src/entity/watch/sameRows.ts',
    find: 'holds(content, found) && holds(content, row)',
    replace: 'holds(content, found)',
    by: [watched],
  },
  {
    name: 'a-hidden-page-wakes-late',
    hazard: 'a page that is shown again shows what it showed, for its timers wait',
    file: looker,
    find: `      listenToBrowser(
        () => void this.look(),`,
    replace: `      listenToBrowser(
        () => {},`,
    by: [moments],
  },
  {
    name: 'conflicts-of-another-process',
    hazard: 'a conflict that another process found, or decided, does not appear, or stays',
    file: looker,
    find: 'mark ?? (yield* readJournals())',
    replace: "mark ?? ''",
    by: [synced],
  },
  {
    name: 'options-are-compared-by-identity',
    hazard: 'a component whose options are written where they are used reads with each rendering, and never rests',
    file: 'src/react/index.ts',
    find: 'isEqual(held.options, options)',
    replace: 'held.options === options',
    by: [hooks],
  },
]
