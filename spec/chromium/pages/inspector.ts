// A page with a database in memory, and an inspector of it.

import initSqlJs from 'sql.js'
import { DataSource, type DeepPartial } from 'typeorm'
import { keepSynced, syncAll, withSync } from 'typeorm-sync'
import type { SyncInspector } from 'typeorm-sync/inspector'
import 'typeorm-sync/inspector'
import { Folder, Note } from './notes.js'
import { offer } from './offer.js'

const dataSource = withSync(
  new DataSource({
    type: 'sqljs',
    driver: initSqlJs,
    sqlJsConfig: { locateFile: () => '/sql-wasm-browser.wasm' },
    entities: [Folder, Note],
    synchronize: true,
  }),
  { server: location.origin, retries: 0 },
)
await dataSource.initialize()
// what this device does not accept
await dataSource.query(
  `CREATE TRIGGER not_here BEFORE INSERT ON note WHEN NEW.title = 'Not here' BEGIN SELECT RAISE(ABORT, 'not here'); END`,
)

const inspector: SyncInspector = document.createElement('typeorm-sync-inspector')
inspector.dataSource = dataSource

const main = document.createElement('main')
const heading = document.createElement('h1')
heading.textContent = 'An application'
const [before, after] = ['Before', 'After'].map(text => {
  const button = document.createElement('button')
  button.textContent = text
  return button
}) as [HTMLButtonElement, HTMLButtonElement]
main.append(heading, before, inspector, after)
document.body.append(main)

const notes = dataSource.getRepository(Note)

export const page = offer({
  sync: async () => void (await syncAll(dataSource)),
  save: async (rows: DeepPartial<Note>[]) => void (await notes.save(rows, { chunk: 500 })),
  update: async (id: string, values: DeepPartial<Note>) => void (await notes.update(id, values as object)),
  remove: async (id: string) => void (await notes.delete(id)),
  saveFolder: async (row: Folder) => void (await dataSource.getRepository(Folder).save(row)),
  removeFolder: async (id: string) => void (await dataSource.getRepository(Folder).delete(id)),
  /** The bytes of a photo as numbers. */
  photo: async (id: string, bytes: readonly number[]) => void (await notes.update(id, { photo: Uint8Array.from(bytes) })),
  note: async (id: string) => notes.findOne({ where: { id }, relations: { folder: true } }),
  keep: () => {
    inspector.kept = keepSynced(dataSource)
  },
  query: async (sql: string) => void (await dataSource.query(sql)),
  takeAway: () => inspector.remove(),
  destroy: () => dataSource.destroy(),
  setReadOnly: (isReadOnly: boolean) => {
    inspector.readOnly = isReadOnly
  },
})
