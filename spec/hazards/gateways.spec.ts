// A gateway between client and server passes on bodies, and of the headers what it likes.

import 'reflect-metadata'
import { expect, test } from '@jest/globals'
import { syncAll } from 'typeorm-sync'
import type { WireRequest } from '../stories/devices.js'
import { Cut, client, drop, edit, put, rowsIn, server, titles } from './world.js'

const isPush = ({ method, body }: WireRequest) => method === 'POST' && rowsIn(body).length > 0

/** Passes on the content type, as it must, and no other header, either way. */
async function gateway({ method, url, body }: WireRequest): Promise<Response> {
  const response = await fetch(url, { method, ...(body !== undefined && { body, headers: { 'content-type': 'application/json' } }) })
  return new Response(await response.arrayBuffer(), { status: response.status, headers: { 'content-type': 'application/json' } })
}

/** A device behind the gateway, which loses the answer to its first push. */
async function alone(url: string) {
  const device = await client(url)
  let lost = false
  device.wire.before = async request => {
    const response = await gateway(request)
    if (lost || !isPush(request)) return response
    lost = true
    throw new Cut()
  }
  await syncAll(device.notes)
  return device
}

test('a note whose push got no answer, and that is removed here meanwhile, goes from the server too, whatever headers a gateway hides', async () => {
  const { dataSource: there, url } = await server()
  const alice = await alone(url)
  await put(alice.dataSource, 'a')
  await expect(syncAll(alice.notes)).rejects.toThrow()
  await drop(alice.dataSource, 'a')
  expect(await syncAll(alice.notes)).toMatchObject({ unapplied: 0, rejected: 0 })
  expect(await titles(there)).toEqual({})
  expect(await titles(alice.dataSource)).toEqual({})
})

test('an edit whose push got no answer is no conflict with oneself, whatever headers a gateway hides', async () => {
  const { dataSource: there, url } = await server()
  await put(there, 'a', 'one')
  const alice = await alone(url)
  await edit(alice.dataSource, 'a', 'two')
  await expect(syncAll(alice.notes)).rejects.toThrow()
  await edit(alice.dataSource, 'a', 'three')
  expect(await syncAll(alice.notes)).toMatchObject({ unapplied: 0, pushed: 2 })
  expect(await titles(there)).toEqual({ a: 'three' })
  expect(await syncAll(alice.notes)).toMatchObject({ pulled: 0, pushed: 0, unapplied: 0 })
})
