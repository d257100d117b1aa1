// A sync server for the inspector's page, at the origin of the page itself.

import libsql from 'libsql'
import { DataSource } from 'typeorm'
import { withSync } from 'typeorm-sync'
import { syncRoutes } from 'typeorm-sync/server-koa'
import { Folder, Note } from '../chromium/pages/notes.js'
import { type Site, servePages } from './pages.js'

export interface NoteServer extends Site {
  readonly dataSource: DataSource
}

/** Serves the inspector's page, folders and notes to everybody; but for notes that are called `Not there`. */
export async function serveNotes(): Promise<NoteServer> {
  const dataSource = withSync(
    new DataSource({ type: 'better-sqlite3', driver: libsql, database: ':memory:', entities: [Folder, Note], synchronize: true }),
  )
  await dataSource.initialize()
  await dataSource.query(
    `CREATE TRIGGER not_there BEFORE INSERT ON note WHEN NEW.title = 'Not there' BEGIN SELECT RAISE(ABORT, 'not there'); END`,
  )
  const site = await servePages(['inspector'], [syncRoutes(dataSource, { public: true }).routes() as never])
  return {
    ...site,
    dataSource,
    async close() {
      await site.close()
      await dataSource.destroy()
    },
  }
}
