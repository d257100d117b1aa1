import 'reflect-metadata'
import { expect, test } from '@jest/globals'
import { type DataSource, EntitySchema } from 'typeorm'
import { type ConflictHandler, enableSync, preferLocalConflictHandler, preferRemoteConflictHandler, syncAll } from 'typeorm-sync'
import { applyDecided, device, expectAtRest, expectEqual, startServer, Wire } from './devices.js'

type OnDelete = 'CASCADE' | 'RESTRICT' | 'NO ACTION' | 'SET NULL'
const text = { type: 'varchar' } as const
const columns = { id: { ...text, primary: true }, name: text } as const

function family(onDelete: OnDelete, servers: readonly string[] = ['']) {
  const to = (target: string) => ({ type: 'many-to-one', target, nullable: true, onDelete }) as const
  const schemas = [
    new EntitySchema<{ id: string; name: string; parent: object | null }>({
      name: 'Step',
      tableName: 'step',
      columns: { ...columns },
      relations: { parent: to('Task') },
    }),
    new EntitySchema<{ id: string; name: string; parent: object | null }>({
      name: 'Task',
      tableName: 'task',
      columns: { ...columns },
      relations: { parent: to('Project') },
    }),
    new EntitySchema<{ id: string; name: string; parent: object | null }>({
      name: 'Project',
      tableName: 'project',
      columns: { ...columns },
      relations: { parent: to('Project') },
    }),
  ]
  for (const schema of schemas)
    enableSync(
      schema as never,
      servers.map(server => `${server}/${schema.options.tableName}Changes`),
    )
  return schemas
}

const TABLES = ['project', 'task', 'step']
const PARENT: Record<string, string> = { step: 'task', task: 'project', project: 'project' }

function random(seed: number) {
  let state = seed
  return (n: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * n)
  }
}

const seeds = Number(process.env.SEEDS ?? 12)
const from = Number(process.env.SEED ?? 1)
const cases = Array.from({ length: seeds }, (_, i) => i + from)

test.each(cases)('a random history of families converges (seed %i)', async seed => {
  const next = random(seed * 7919)
  for (let i = 0; i < 5; i++) next(2)
  const pick = <T>(list: readonly T[]) => list[next(list.length)] as T
  const onDelete = (['CASCADE', 'RESTRICT', 'NO ACTION', 'SET NULL'] as const)[seed % 4] as OnDelete
  const topology = process.env.TOPOLOGY ?? pick(['star', 'relay', 'two servers'] as const)
  const entities = family(onDelete)
  const server = await startServer(entities)
  const more = topology === 'two servers' ? [await startServer(entities)] : []
  const close: (() => Promise<unknown>)[] = [server, ...more].map(s => () => s.stop())
  const wires = [new Wire(), new Wire(), new Wire()]
  const devices: DataSource[] = []
  const remote = more.length ? family(onDelete, [server.url, ...more.map(s => s.url)]) : entities
  let url = server.url
  for (const { fetch } of wires) {
    const options = { fetch, pageSize: 1 + next(4), batchSize: 1 + next(4), maxRounds: 20 }
    if (topology === 'relay' && !devices.length) {
      const relay = await startServer(entities, { options: { ...options, server: url, retries: 0 } })
      close.unshift(() => relay.stop())
      url = relay.url
      devices.push(relay.dataSource)
    } else {
      const opened = await device(remote, url, options)
      close.unshift(() => opened.destroy())
      devices.push(opened)
    }
  }
  const handlers: (ConflictHandler | undefined)[] = [
    preferLocalConflictHandler,
    preferRemoteConflictHandler,
    undefined,
    (conflicts, updates) => {
      for (const c of conflicts) if (next(3)) (next(2) ? preferLocalConflictHandler : preferRemoteConflictHandler)([c], updates, () => {})
    },
  ]
  const log: string[] = []
  try {
    const [first] = devices as [DataSource]
    for (const table of TABLES) {
      for (let n = 0; n < 3; n++) {
        const parent = table === 'project' && !n ? null : `${PARENT[table]?.[0]}${table === 'project' ? 0 : next(3)}`
        await first.query(`INSERT INTO ${table} (id, name, "parentId") VALUES (?, 'first', ?)`, [
          `${table[0]}${n}`,
          next(4) ? parent : null,
        ])
      }
    }
    await applyDecided(devices)
    for (let i = 0; i < 40; i++) {
      const d = next(3)
      const who = devices[d] as DataSource
      const table = pick(TABLES)
      const id = `${table[0]}${next(4)}`
      const kind = next(9)
      if (kind >= 6) {
        const handler = pick(handlers)
        const target = next(3) ? who : who.getRepository(pick(remote))
        if (next(4) === 0) {
          const at = 1 + next(5)
          const wire = wires[d] as Wire
          const when = pick(['before', 'after'] as const)
          wire.requests.length = 0
          wire[when] = (_r, n) => {
            if (n === at) throw new TypeError('lost')
          }
          log.push(`${d} syncs, request ${at} lost ${when}`)
          await syncAll(target as DataSource, handler).catch(e => {
            if (e.code !== 'network') throw e
          })
          wire.mend()
        } else {
          log.push(`${d} syncs ${target === who ? 'all' : (target as { metadata: { name: string } }).metadata.name}`)
          await syncAll(target as DataSource, handler)
        }
        continue
      }
      const parents = (await who.query(`SELECT id FROM ${PARENT[table]}`)).map((r: { id: string }) => r.id)
      const parent = next(3) ? (parents[next(parents.length || 1)] ?? null) : null
      const sql: [string, unknown[]] =
        kind === 0
          ? [`DELETE FROM ${pick(['project', table])} WHERE id = ?`, [next(2) ? id : `p${next(3)}`]]
          : kind === 1
            ? [`UPDATE ${table} SET name = ? WHERE id = ?`, [`${d}.${i}`, id]]
            : kind <= 3
              ? [`UPDATE ${table} SET "parentId" = ? WHERE id = ?`, [parent === id ? null : parent, id]]
              : [`INSERT INTO ${table} (id, name, "parentId") VALUES (?, ?, ?)`, [id, `${d}.${i}`, parent === id ? null : parent]]
      const done = await who.query(...sql).then(
        () => true,
        () => false,
      )
      log.push(`${d}: ${sql[0]} ${JSON.stringify(sql[1])} ${done ? '' : 'rejected'}`)
    }
    await applyDecided(devices, seed % 2 ? preferRemoteConflictHandler : preferLocalConflictHandler, 15)
    await expectEqual([server.dataSource, ...more.map(m => m.dataSource), ...devices], TABLES)
    await expectAtRest(devices, 1 + more.length)
    if (server.dataSource.options.type !== 'postgres') expect(await server.dataSource.query('PRAGMA foreign_key_check')).toEqual([])
  } catch (error) {
    const rows = []
    for (const each of [server.dataSource, ...devices])
      for (const t of [...TABLES, 'sync_unapplied', 'sync_rejection'])
        rows.push(`${t} ${JSON.stringify(await each.query(`SELECT * FROM ${t}`))}`)
    if (process.env.SEED) console.log(`${onDelete} ${topology}\n${log.join('\n')}\n${rows.join('\n')}`)
    throw error
  } finally {
    for (const each of close) await each()
  }
})
