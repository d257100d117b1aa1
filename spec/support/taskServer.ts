// A sync server for the pages of spec/chromium, at the origin of the pages themselves.

import libsql from 'libsql'
import { DataSource } from 'typeorm'
import { withSync } from 'typeorm-sync'
import { syncRoutes } from 'typeorm-sync/server-koa'
import { Task } from '../chromium/pages/task.js'
import { type Site, servePages } from './pages.js'

export interface TaskServer extends Site {
  readonly dataSource: DataSource
  names(): Promise<string[]>
  /** As the server's own code does it. */
  rename(from: string, to: string): Promise<void>
}

/** Serves these pages, and tasks to everybody. */
export async function serveTasks(...pages: readonly string[]): Promise<TaskServer> {
  const dataSource = withSync(
    new DataSource({ type: 'better-sqlite3', driver: libsql, database: ':memory:', entities: [Task], synchronize: true }),
  )
  await dataSource.initialize()
  const site = await servePages(pages, [syncRoutes(dataSource, { public: true }).routes() as never])
  return {
    ...site,
    dataSource,
    names: async () => (await dataSource.getRepository(Task).find({ order: { name: 'ASC' } })).map(task => task.name),
    rename: async (from, to) => void (await dataSource.getRepository(Task).update({ name: from }, { name: to })),
    async close() {
      await site.close()
      await dataSource.destroy()
    },
  }
}
