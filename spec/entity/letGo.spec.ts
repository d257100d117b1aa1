import 'reflect-metadata'
import { expect, test } from '@jest/globals'
import { keepSynced } from 'typeorm-sync'
import { Holiday } from '../../examples/model.js'
import { letGo } from '../../src/entity/letGo.js'
import { openOn } from '../support/eachDatabase.js'
import { until } from '../support/until.js'

test('what keeps a data source in sync ends when it is let go', async () => {
  const asked: (AbortSignal | null | undefined)[] = []
  // a server that never answers
  const fetch = (_: unknown, init?: RequestInit) =>
    new Promise<Response>((_, reject) => {
      asked.push(init?.signal)
      init?.signal?.addEventListener('abort', () => reject(init.signal?.reason))
    })
  const device = await openOn('sqljs', [Holiday], { server: 'http://127.0.0.1:1', fetch: fetch as typeof globalThis.fetch })
  const kept = keepSynced(device)
  await until(() => asked.length)
  await letGo(device)
  expect(kept.status.state).toBe('idle')
  expect(asked.every(signal => signal?.aborted)).toBe(true)
  const count = asked.length
  kept.wake()
  await kept.stop()
  expect(asked.length).toBe(count)
})
