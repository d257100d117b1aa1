// What syncs bring and take, conflicts, and other processes: on every kind of database.

import { describe, expect, test } from '@jest/globals'
import { EntitySchema } from 'typeorm'
import { enableSync, journal, syncAll, watch, watchConflicts, wipe } from 'typeorm-sync'
import { deviceOf, HandMade } from '../../stories/handMade.js'
import { databaseOn, openIn, SERVERS } from '../../support/eachDatabase.js'
import { until } from '../../support/until.js'
import { hear } from './world.js'

interface Note {
  id: string
  text: string
}
const Note = new EntitySchema<Note>({
  ...{ name: 'WatchedHere', tableName: 'watched_here' },
  columns: { id: { type: 'varchar', length: 64, primary: true }, text: { type: 'varchar', length: 64 } },
})
enableSync(Note, '/watchedHere')

const order = { id: 'ASC' } as const

describe.each(SERVERS)('on %s', kind => {
  test('rows come, change, are removed and leave by syncs, and go with their user', async () => {
    const server = new HandMade()
    const phone = await deviceOf(server, [Note], kind)
    const { shows } = hear(watch(phone.getRepository(Note), { order }))
    const read = async (...rows: object[]) => {
      server.answers.push({ changes: { '/watchedHere': rows as never } })
      await syncAll(phone)
    }
    await read(server.row('a', { text: 'a' }), server.row('b', { text: 'b' }), server.row('c', { text: 'c' }))
    await shows('text', ['a', 'b', 'c'])
    await read(server.row('b', { text: 'edited' }))
    await shows('text', ['a', 'edited', 'c'])
    // the last change in the table stays the same
    await read(server.left('a'))
    await shows('text', ['edited', 'c'])
    await read(server.removed('c'))
    await shows('text', ['edited'])
    await wipe(phone)
    await shows('text', [])
  })

  test('conflicts come by a sync, and go by a decision, whichever process makes it', async () => {
    const server = new HandMade()
    const options = { server: 'https://hand.made', fetch: server.fetch, retries: 0 }
    const database = await databaseOn(kind)
    const here = await openIn(database, [Note], options)
    const there = await openIn(database, [Note], options)
    const [notes, theirs] = [here.getRepository(Note), there.getRepository(Note)]
    const of = (text: string) => [server.row('a', { text })]
    server.answers.push({ changes: { '/watchedHere': of('first') } })
    await syncAll(there)
    const [all, own] = [watchConflicts(here), watchConflicts(notes)]
    const heard = [hear(all), hear(own)]
    await until(() => !all.getSnapshot().isLoading && !own.getSnapshot().isLoading)
    const are = (count: number) => until(() => [all, own].every(each => each.getSnapshot().rows.length === count))
    const disagree = async (name: string) => {
      await notes.update('a', { text: `ours ${name}` })
      server.answers.push({ changes: { '/watchedHere': of(`theirs ${name}`) } })
    }
    await disagree('1')
    await syncAll(there)
    await are(1)
    const [conflict] = own.getSnapshot().rows
    expect(conflict).toMatchObject({ entity: 'WatchedHere', id: 'a', local: { text: 'ours 1' }, remote: { text: 'theirs 1' } })
    await journal(theirs).resolve('a', { text: 'decided there' })
    await are(0)
    await syncAll(there)
    await disagree('2')
    await syncAll(here)
    await are(1)
    // the server's side moves on
    server.answers.push({ changes: { '/watchedHere': of('theirs 3') } })
    await syncAll(there)
    await until(() => own.getSnapshot().rows[0]?.remote?.text === 'theirs 3')
    await own.discard(own.getSnapshot().rows[0]!)
    await are(0)
    expect(await theirs.find()).toMatchObject([{ text: 'theirs 3' }])
    for (const { end } of heard) end()
  })
})
