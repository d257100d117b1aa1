// All that this app says about syncing: it opens a database that the browser keeps, and keeps it in sync.

import sqlJs from 'sql.js'
import wasm from 'sql.js/dist/sql-wasm-browser.wasm?url'
import { keepSynced } from 'typeorm-sync'
import { openBrowserDatabase } from 'typeorm-sync/browser'
import { ENTITIES } from '../../model.js'
import { keyOf } from './device.js'
import { networkFetch } from './network.js'
import { readSession } from './session.js'

export type Opened = Awaited<ReturnType<typeof open>>

export async function open(user: string, takeOver: boolean) {
  const headers = () => ({ Authorization: `Bearer ${readSession()?.token}` })
  const sync = { server: location.origin, headers, fetch: networkFetch, pageSize: 500 } // smaller pages: a slow device stays responsive
  const database = await openBrowserDatabase({
    name: keyOf('todo'),
    user,
    takeOver,
    sqlJs,
    wasm,
    entities: ENTITIES,
    synchronize: true,
    sync,
  })
  return { database, kept: keepSynced(database.dataSource, { signal: database.signal }) }
}
