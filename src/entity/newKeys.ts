// A text key that is left out when a row is made gets a UUID, as a generated one does. TypeORM generates keys for a column of type `uuid` alone,
// which takes no other ids on PostgreSQL and MariaDB: those of clients of 2012, or of users of curl.

import type { DataSource, EntityMetadata } from 'typeorm'
import { hasMadeId } from '../databases/values/compositeKeys.js'

/** To be called once the metadata is built. */
export function makeNewKeys({ subscribers }: DataSource, entities: readonly EntityMetadata[]): void {
  for (const metadata of entities) {
    const { target, primaryColumns } = metadata
    const [key] = primaryColumns
    if (!key || hasMadeId(metadata) || key.isGenerated || key.transformer || key.default !== undefined) continue
    subscribers.push({
      listenTo: () => target,
      beforeInsert({ entity }) {
        if (entity && (key.getEntityValue(entity) ?? undefined) === undefined) key.setEntityValue(entity, globalThis.crypto.randomUUID())
      },
    })
  }
}
