// A page with a database in memory that is kept in sync with the server it comes from.

import initSqlJs from 'sql.js'
import { DataSource } from 'typeorm'
import { keepSynced, withSync } from 'typeorm-sync'
import { offer } from './offer.js'
import { Task } from './task.js'

const dataSource = withSync(
  new DataSource({
    type: 'sqljs',
    driver: initSqlJs,
    sqlJsConfig: { locateFile: () => '/sql-wasm-browser.wasm' },
    entities: [Task],
    synchronize: true,
  }),
  { server: location.origin },
)
await dataSource.initialize()
const kept = keepSynced(dataSource)

export const device = offer({
  async add(name: string): Promise<string> {
    const { id } = await Task.save({ name })
    return id
  },
  async rename(id: string, name: string): Promise<void> {
    await Task.update(id, { name })
  },
  async names(): Promise<string[]> {
    return (await Task.find({ order: { name: 'ASC' } })).map(task => task.name)
  },
  status: () => ({ ...kept.status, lastError: kept.status.lastError && String(kept.status.lastError) }),
  wake: () => kept.wake(),
})
