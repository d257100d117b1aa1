import 'reflect-metadata'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { Column, CreateDateColumn, Entity, EntitySchema, PrimaryColumn, UpdateDateColumn, VersionColumn } from 'typeorm'
import { enableSync, syncAll } from 'typeorm-sync'
import { device, serverDatabase, startServer, Wire } from '../stories/devices.js'
import { beforeRoutes, client, closing, edit, put, server } from './world.js'

@Entity('letter')
class Letter {
  @PrimaryColumn('text') id!: string
  @Column('text') title!: string
  @Column('text') body!: string
  @Column('simple-json', { nullable: true }) tags!: object | null
  @CreateDateColumn() createdAt!: Date
  @UpdateDateColumn() updatedAt!: Date
  @VersionColumn() version!: number
}
enableSync(Letter, '/letters')

async function letters() {
  const there = await startServer([Letter], { before: beforeRoutes })
  closing(() => there.stop())
  const alice = await device([Letter], there.url)
  closing(() => alice.destroy())
  await alice.getRepository(Letter).save({ id: 'a', title: 'zero', body: 'zero', tags: { x: 1, y: 2 } })
  await syncAll(alice)
  return { there: there.dataSource, alice }
}

test('dates and versions that TypeORM changes by itself are no conflict: the later one wins', async () => {
  const { there, alice } = await letters()
  await there.getRepository(Letter).save({ id: 'a', title: 'remote' })
  await there.getRepository(Letter).save({ id: 'a', title: 'remote, again' })
  await alice.getRepository(Letter).save({ id: 'a', body: 'hers' })
  expect(await syncAll(alice)).toMatchObject({ conflicts: 0, unapplied: 0, merged: 1 })
  const letter = await alice.getRepository(Letter).findOneByOrFail({ id: 'a' })
  expect(letter).toMatchObject({ title: 'remote, again', body: 'hers', version: 3 })
  expect(await there.getRepository(Letter).findOneByOrFail({ id: 'a' })).toMatchObject({ ...letter })
})

test('JSON whose keys come in another order is the same', async () => {
  const { there, alice } = await letters()
  await there.query(`UPDATE letter SET tags = '{"y":2,"x":1}'`)
  await alice.query(`UPDATE letter SET tags = '{"x":1,"y":3}'`)
  expect(await syncAll(alice)).toMatchObject({ unapplied: 0 })
  expect(JSON.parse((await there.query('SELECT tags FROM letter'))[0].tags)).toEqual({ x: 1, y: 3 })
})

test('a property that an older server does not know keeps its value', async () => {
  const { dataSource: there, url } = await server()
  const alice = await client(url)
  await put(alice.dataSource, 'a', 'one', { body: 'hers' })
  await syncAll(alice.notes)
  await syncAll(alice.notes)
  await edit(there, 'a', 'two')
  alice.wire.after = async ({ method }, _, response) => {
    if (method !== 'GET') return
    const answer = (await response.json()) as { updates?: { body?: string }[]; changes?: Record<string, { body?: string }[]> }
    const updates = answer.updates ?? Object.values(answer.changes ?? {}).flat()
    expect(updates).toMatchObject([{ id: 'a', body: 'hers' }])
    for (const update of updates) delete update.body
    return new Response(JSON.stringify(answer), { headers: { etag: '"x"' } })
  }
  await syncAll(alice.notes)
  expect(await alice.dataSource.query('SELECT title, body FROM note')).toEqual([{ title: 'two', body: 'hers' }])
})

test('a device that gains a property reads what it passed over before', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'gains-'))
  closing(async () => rmSync(folder, { recursive: true }))
  const text = { type: 'varchar' } as const
  const card = (more: object) => {
    const schema = new EntitySchema<object>({
      ...{ name: 'Card', tableName: 'card' },
      columns: { id: { ...text, primary: true }, title: text, ...more },
    } as never)
    enableSync(schema, '/cards')
    return schema
  }
  const older = card({})
  const newer = card({ color: { ...text, nullable: true } })
  const there = await startServer([newer], { before: beforeRoutes })
  closing(() => there.stop())
  await there.dataSource.query(`INSERT INTO card (id, title, color) VALUES ('a', 'a', 'red')`)
  const options = { server: there.url, fetch: new Wire().fetch, retries: 0 }
  const before = await serverDatabase([older], options, join(folder, 'db'))
  await syncAll(before)
  await before.destroy()
  const after = await serverDatabase([newer], options, join(folder, 'db'))
  closing(() => after.destroy())
  await syncAll(after)
  expect(await after.query('SELECT id, color FROM card')).toEqual([{ id: 'a', color: 'red' }])
})

@Entity('sample')
class Sample {
  @PrimaryColumn('text') id!: string
  @Column('bigint', { nullable: true }) count!: string | null
  @Column('real', { nullable: true }) ratio!: number | null
  @Column('datetime', { nullable: true }) at!: Date | null
  @Column('text', { nullable: true }) words!: string | null
  @Column('blob', { nullable: true }) bytes!: Uint8Array | null
  @Column('jsonb', { nullable: true }) data!: unknown
}
enableSync(Sample, '/samples')

async function samples() {
  const there = await startServer([Sample], { before: beforeRoutes })
  closing(() => there.stop())
  const headers = { 'content-type': 'application/json' }
  return {
    there: there.dataSource,
    tell: async (row: object) => {
      const response = await fetch(`${there.url}/samples`, { method: 'POST', headers, body: JSON.stringify([{ id: 'a', ...row }]) })
      return { code: response.status, ...((await response.json()) as { errors?: { property: string }[] }) }
    },
    read: async () => ((await (await fetch(`${there.url}/samples`)).json()) as { updates: object[] }).updates[0],
  }
}

test.each([
  ['a number beyond 2^53', { count: '9007199254740993' }, { count: '9007199254740993' }],
  ['infinity', { ratio: '-Infinity' }, { ratio: '-Infinity' }],
  ['a date in seconds', { at: 1279888110 }, { at: '2010-07-23T12:28:30.000Z' }],
  ['a date in milliseconds', { at: 1279888110370 }, { at: '2010-07-23T12:28:30.370Z' }],
  ['bytes', { bytes: 'AAECgP8=' }, { bytes: 'AAECgP8=' }],
  ['binary JSON', { data: { x: [1, null, 'é'] } }, { data: { x: [1, null, 'é'] } }],
])('%s comes back as it was sent', async (_, sent, expected) => {
  const { tell, read } = await samples()
  expect(await tell(sent)).toMatchObject({ code: 200 })
  expect(await read()).toMatchObject(expected)
})

test.each([
  ['half a character', { words: 'x\ud800' }, 'words'],
  ['a NUL character', { words: 'x\0y' }, 'words'],
  ['bytes that are no base64', { bytes: 'A*=' }, 'bytes'],
  ['a number that 64 bits do not hold', { count: '9223372036854775808' }, 'count'],
])('%s is rejected', async (_, sent, property) => {
  expect(await (await samples()).tell(sent)).toMatchObject({ code: 422, errors: [{ property }] })
})

test('a text that has a NUL character already is read to its end', async () => {
  const { there, read } = await samples()
  await there.query(`INSERT INTO sample (id, words) VALUES ('a', 'x' || char(0) || 'y')`)
  expect(await read()).toMatchObject({ words: 'x\0y' })
})
