// The remedies of a database that a browser keeps.

import type { Mutant } from './mutant.js'

const blocks = 'spec/browser/blocks.spec.ts'
const store = 'spec/browser/blockStore.spec.ts'
const kept = 'spec/chromium/kept.spec.ts'
const killed = 'spec/chromium/killed.spec.ts'

export const ofBrowsers: Mutant[] = [
  {
    name: 'who-does-not-adopt-has-it',
    hazard: 'a database goes to the next user, though its rows were not handed over',
    file: 'browser/browserDatabase.ts',
    find: 'if (!(await adopt(this.dataSource, confirm))) return false',
    replace: 'await adopt(this.dataSource, confirm)',
    by: [kept],
  },
  {
    name: 'the-running-save-is-not-waited-for',
    hazard: 'a push leaves before what it noted is saved, for another sync is saving that',
    file: 'src/databases/sqlite/save.ts',
    find: 'this.#last = this.#last.catch(() => {}).then(() => this.#save())',
    replace: 'this.#last = this.#save()',
    by: ['spec/databases/save.spec.ts'],
  },
  {
    name: 'a-stolen-database-is-written',
    hazard: 'a tab that was frozen mixes its pages with those of the tab that has the database now',
    file: 'browser/blockStore.ts',
    find: '            if (file?.owner !== this.#owner) throw taken(this.name)\n',
    replace: '            if (!this.#owner) throw taken(file?.owner ?? this.name)\n',
    by: [store],
  },
  {
    name: 'half-a-save',
    hazard: 'a save that fails on the way leaves a part of its pages',
    file: 'browser/blockStore.ts',
    find: '        abort(transaction)\n        for (const request',
    replace: '        for (const request',
    by: [store],
  },
  {
    name: 'views-are-stored',
    hazard: 'each page is stored with the whole file that it is a view of',
    file: 'browser/blocks.ts',
    find: 'file.slice(index * BLOCK_SIZE',
    replace: 'file.subarray(index * BLOCK_SIZE',
    by: [blocks],
  },
  {
    name: 'the-length-alone-changed',
    hazard: 'a last page that got shorter is stored as it was, and the file is not whole',
    file: 'browser/blocks.ts',
    find: 'if (same < end || (end === words.length && old.length !== end)) changed',
    replace: 'if (same < end) changed',
    by: [blocks],
  },
  {
    name: 'anybody-opens-it',
    hazard: "a user opens another one's database",
    file: 'browser/blockStore.ts',
    find: 'if (file?.user !== undefined && file.user !== user) throw',
    replace: 'if (file?.user === null) throw',
    by: [store, kept],
  },
  {
    name: 'writes-after-the-last-save',
    hazard: 'what is written in a tab that has lost the database is told to be there',
    file: 'browser/watchedSqlJs.ts',
    find: '    this.#closed = error\n',
    replace: '    void error\n',
    by: [kept],
  },
  {
    name: 'let-go-unsaved',
    hazard: 'a tab that cannot save lets another one have the database as it was',
    file: 'browser/browserDatabase.ts',
    find: '    await this.flush()\n    await this.#parts.saver.end(',
    replace: '    await this.#parts.saver.end(',
    by: [kept],
  },
  {
    name: 'nothing-is-saved-by-itself',
    hazard: 'writes are lost with the tab',
    file: 'browser/watchedSqlJs.ts',
    find: 'if (mayWrite(sql)) this.mayHaveWritten()',
    replace: 'void this.mayHaveWritten',
    by: [kept],
  },
  {
    name: 'hidden-and-unsaved',
    hazard: 'a phone ends the page that it has hidden, with what was written last',
    file: 'browser/browserDatabase.ts',
    find: 'listenToLeaving(() => saver.saveSoon())',
    replace: 'listenToLeaving(() => {})',
    by: [kept],
  },
  {
    name: 'a-push-that-is-not-saved',
    hazard: 'a database that is saved as a whole file is lost between a POST and the next save',
    file: 'browser/openBrowserDatabase.ts',
    find: 'save: () => saver.save(),',
    replace: 'save: () => {},',
    by: [killed],
  },
  {
    name: 'sync-goes-on-elsewhere',
    hazard: 'a tab that has lost the database syncs on',
    file: 'src/entity/keep/keeper.ts',
    find: 'this.#forget = onLetGo(dataSource, () => this.stop())',
    replace: 'this.#forget = () => {}',
    by: ['spec/entity/letGo.spec.ts'],
  },
]
