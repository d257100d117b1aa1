// All that this app says about syncing.

import initSqlJs from 'sql.js'
import wasmUrl from 'sql.js/dist/sql-wasm-browser.wasm?url'
import { DataSource } from 'typeorm'
import { keepSynced, wipe, withSync } from 'typeorm-sync'
import { ENTITIES } from '../../model.js'
import { networkFetch } from './network.js'
import { readSession } from './session.js'

export type Opened = Awaited<ReturnType<typeof open>>

export async function open() {
  const dataSource = withSync(
    new DataSource({
      type: 'sqljs',
      driver: initSqlJs as never,
      sqlJsConfig: { locateFile: () => wasmUrl },
      entities: ENTITIES,
      synchronize: true,
    }),
    { server: location.origin, headers: () => ({ Authorization: `Bearer ${readSession()?.token}` }), fetch: networkFetch },
  )
  await dataSource.initialize()
  const kept = keepSynced(dataSource)
  return { dataSource, kept, wipe: (confirm: (unpushed: number) => boolean) => wipe(dataSource, confirm) }
}
