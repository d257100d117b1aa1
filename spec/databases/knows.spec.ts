// «The server knows this version» is said in JavaScript and in SQL: both are asked of random states, on each kind of database.

import 'reflect-metadata'
import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { EntitySchema } from 'typeorm'
import { enableSync } from 'typeorm-sync'
import { isUpTo } from '../../src/changes/rows/place.js'
import { agreedSql, isAgreed } from '../../src/changes/servers/agreement.js'
import { type RowState } from '../../src/changes/servers/rowStates.js'
import { type ServerState } from '../../src/changes/servers/serverState.js'
import { serversOf } from '../../src/changes/servers/servers.js'
import { query } from '../../src/databases/database.js'
import { isKnownOrInPushSql, isKnownSql, isUpToSql, text } from '../../src/databases/knows.js'
import { changeLogOf } from '../../src/entity/registry.js'
import { openOn, SERVERS } from '../support/eachDatabase.js'

const IDS = ['a', 'B']
const STAMPS = [1, 2, 3]
const versions = IDS.flatMap(id => STAMPS.map(stamp => ({ id, stamp })))

const place = fc.record({ stamp: fc.integer({ min: 0, max: 4 }), id: fc.constantFrom('', ...IDS, '\u{10ffff}') })
const stampsById = fc.uniqueArray(fc.record({ id: fc.constantFrom(...IDS), stamp: fc.constantFrom(...STAMPS) }), { selector: v => v.id })
const stateOfServer = fc.record({
  pushedTo: place,
  limit: fc.option(place),
  stored: fc.uniqueArray(fc.constantFrom(...STAMPS)),
  unpushed: stampsById,
  rejected: stampsById,
  unseen: fc.uniqueArray(fc.constantFrom(...IDS)),
})

const Thing = new EntitySchema<{ id: string }>({ name: 'Thing', tableName: 'thing', columns: { id: { type: 'varchar', primary: true } } })
enableSync(Thing, '/things')

test.each(SERVERS)('what a server knows is the same in SQL and in JavaScript (%s)', async kind => {
  const dataSource = await openOn(kind, [Thing])
  const log = changeLogOf(dataSource)
  const [collection] = log.collections
  await dataSource.query(`INSERT INTO sync_server (collection, url, origin, pushed_id) VALUES ('thing', 'u', 'o', '')`)
  const [{ id: serverId }] = await dataSource.query('SELECT id FROM sync_server')

  await fc.assert(
    fc.asyncProperty(stateOfServer, async ({ pushedTo, limit, stored, unpushed, rejected, unseen }) => {
      const answers = await log.database.transaction(function* () {
        for (const table of ['sync_stamp', 'sync_unapplied', 'sync_rejection', 'sync_no_access']) yield* query(`DELETE FROM ${table}`)
        yield* log.database.updateRows(
          'sync_server',
          ['pushed_stamp', 'pushed_id', 'push_key', 'push_stamp', 'push_id'],
          ['id'],
          [[pushedTo.stamp, pushedTo.id, limit && 'key', limit?.stamp ?? null, limit?.id ?? null, serverId]],
        )
        yield* log.database.insertRows(
          'sync_stamp',
          ['server', 'stamp'],
          stored.map(stamp => [serverId, stamp]),
        )
        yield* log.database.insertRows(
          'sync_unapplied',
          ['server', 'id', 'unpushed', 'reason'],
          unpushed.map(({ id, stamp }) => [serverId, id, stamp, 'contested']),
        )
        yield* log.database.insertRows(
          'sync_rejection',
          ['server', 'id', 'stamp', 'code', 'again'],
          rejected.map(({ id, stamp }) => [serverId, id, stamp, 'not-valid', 0]),
        )
        yield* log.database.insertRows(
          'sync_no_access',
          ['server', 'id'],
          unseen.map(id => [serverId, id]),
        )
        const asked = versions.map(({ id, stamp }, n) => {
          const version = { id: text(id), stamp: String(stamp) }
          const cases = [isUpToSql, isKnownSql, isKnownOrInPushSql].map((sql, i) => `CASE WHEN ${sql(version)} THEN 1 ELSE 0 END AS c${i}`)
          return `SELECT ${n} AS n, ${cases.join(', ')} FROM sync_server r`
        })
        const [server] = yield* serversOf(collection!)
        const agreed = agreedSql(server!, 'v.id')
        const rows = yield* query(`${asked.join(' UNION ALL ')} ORDER BY n`)
        const withoutNotes = yield* query(
          `SELECT v.n FROM (${versions.map(({ id, stamp }, n) => `SELECT ${n} AS n, ${text(id)} AS id, ${stamp} AS "_lastChange"`).join(' UNION ALL ')}) v WHERE ${agreed.sql} ORDER BY v.n`,
          ...agreed.values,
        )
        return { server: server as ServerState, rows, agreed: withoutNotes.map(row => Number(row.n)) }
      })
      const stateOf = (id: string) =>
        ({
          id,
          unapplied: unpushed.filter(v => v.id === id).map(v => ({ unpushed: v.stamp }))[0],
          noAccess: unseen.includes(id) ? {} : undefined,
          rejection: rejected.filter(v => v.id === id).map(v => ({ stamp: v.stamp }))[0],
        }) as unknown as RowState
      const { server } = answers
      const isInPush = ({ id, stamp }: { id: string; stamp: number }) =>
        limit !== null && isUpTo(limit, id, stamp) && isAgreed({ ...server, stored: new Set([stamp]) }, stateOf(id), stamp)
      expect(answers.rows.map(row => [row.c0, row.c1, row.c2].map(Number))).toEqual(
        versions.map(v => {
          const knows = isAgreed(server, stateOf(v.id), v.stamp)
          return [isUpTo(pushedTo, v.id, v.stamp), knows, knows || isInPush(v)].map(Number)
        }),
      )
      // only SQLite is asked so, where ids compare bytewise by themselves
      if (kind !== 'libsql') return
      const bare = (id: string) => ({ id }) as RowState
      expect(answers.agreed).toEqual(versions.flatMap((v, n) => (isAgreed(server, bare(v.id), v.stamp) ? [n] : [])))
    }),
    { numRuns: kind === 'libsql' ? 300 : 60 },
  )
})
