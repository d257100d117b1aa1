// Who listens to the requests of a data source hears each of them, and changes none.

import { afterEach, beforeEach, expect, jest, test } from '@jest/globals'
import { type DataSource, EntitySchema } from 'typeorm'
import { enableSync, keepSynced, NetworkError, onRequest, type SyncRequest, syncAll } from 'typeorm-sync'
import { device, startServer, Wire } from '../../stories/devices.js'
import { until } from '../../support/until.js'

const Note = new EntitySchema<{ id: string; text: string }>({
  ...{ name: 'HeardNote', tableName: 'heard_note' },
  columns: { id: { type: 'varchar', length: 64, primary: true }, text: { type: 'varchar', length: 64 } },
})
enableSync(Note, '/heardNotes')

let server: Awaited<ReturnType<typeof startServer>>
let here: DataSource
let wire: Wire
let heard: SyncRequest[]
let end: () => void
beforeEach(async () => {
  server = await startServer([Note])
  wire = new Wire()
  here = await device([Note], server.url, { fetch: wire.fetch, retries: 1, wait: async () => {} })
  heard = []
  end = onRequest(here, request => heard.push(request))
})
afterEach(() => Promise.all([here.destroy(), server.stop()]))

const save = () => here.getRepository(Note).save({ id: 'a', text: 'Grüße' })

test('each request is told with its status, its milliseconds and its bytes', async () => {
  await save()
  await syncAll(here)
  const [pull, push] = heard
  expect(heard).toHaveLength(wire.requests.length)
  expect(pull).toMatchObject({ method: 'GET', url: wire.requests[0]?.url, status: 200, sent: 0, error: undefined })
  expect(pull?.received).toBeGreaterThan(20)
  expect(pull?.milliseconds).toBeGreaterThan(0)
  expect(Math.abs(Number(pull?.startedAt) - Date.now())).toBeLessThan(60_000)
  const body = wire.requests.find(({ method }) => method === 'POST')?.body as string
  expect(push).toMatchObject({ method: 'POST', status: 200, sent: Buffer.byteLength(body) })
  expect(push?.sent).toBeGreaterThan(body.length)
})

test('one without an answer is told with the error, and so is each retry', async () => {
  wire.before = (_, number) => {
    if (number === 1) throw new Error('no connection')
  }
  await syncAll(here)
  expect(heard.map(({ status, received }) => [status, received !== undefined])).toEqual([
    [undefined, false],
    [200, true],
  ])
  expect(heard[0]?.error).toBeInstanceOf(NetworkError)
})

test('who listens twice hears twice, and who ends it hears no more', async () => {
  const again = jest.fn<(request: SyncRequest) => void>()
  const ends = [onRequest(here, again), onRequest(here, again)]
  await syncAll(here)
  const { length } = heard
  expect(again).toHaveBeenCalledTimes(2 * length)
  ends[0]?.()
  end()
  await syncAll(here)
  expect(heard).toHaveLength(length)
  expect(again.mock.calls.length).toBeGreaterThan(2 * length)
  expect(again.mock.calls.length - 2 * length).toBe(wire.requests.length - length)
})

test('a listener that throws ends no sync, and is not the last that hears', async () => {
  const error = jest.spyOn(console, 'error').mockImplementation(() => {})
  end()
  onRequest(here, () => {
    throw new Error('cannot show it')
  })
  onRequest(here, request => heard.push(request))
  await syncAll(here)
  expect(heard.length).toBeGreaterThan(0)
  expect(error).toHaveBeenCalledTimes(heard.length)
  error.mockRestore()
})

test('another data source is not heard', async () => {
  const other = await device([Note], server.url)
  await syncAll(other)
  expect(heard).toEqual([])
  await other.destroy()
})

test('the stream that waits for news is heard as it begins', async () => {
  const kept = keepSynced(here)
  try {
    await until(() => kept.status.isLive)
    expect(heard.at(-1)).toMatchObject({ method: 'GET', status: 200, received: undefined })
  } finally {
    await kept.stop()
  }
})
