// Two devices in a browser, each with its own database, kept in sync.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { crash, describeInChromium, openOnDisk, openProfile, openTab } from '../support/chromium.js'
import { serveTasks, type TaskServer } from '../support/taskServer.js'
import { until } from '../support/until.js'
import type { device } from './pages/device.js'

type Device = typeof device

describeInChromium('two devices in a browser', () => {
  let server: TaskServer
  beforeAll(async () => {
    server = await serveTasks('device')
  })
  afterAll(() => server?.close())

  async function openDevice() {
    const context = await openProfile()
    const tab = await openTab<Device>(context, `${server.url}/device`)
    await until(async () => (await tab.call.status()).isLive)
    return { ...tab, context }
  }

  test('what one writes, the other has by itself', async () => {
    const [alice, bob] = [await openDevice(), await openDevice()]
    const milk = await alice.call.add('Buy milk')
    await until(async () => (await bob.call.names()).includes('Buy milk'))
    await bob.call.rename(milk, 'Buy oat milk')
    await until(async () => (await alice.call.names()).includes('Buy oat milk'))
    expect([alice.errors, bob.errors]).toEqual([[], []])
  })

  test('what is written without a network arrives when it is back', async () => {
    const [alice, bob] = [await openDevice(), await openDevice()]
    await alice.context.setOffline(true)
    await alice.call.add('Water the plants')
    await until(async () => {
      const { state, pending } = await alice.call.status()
      return state === 'offline' && pending === 1
    })
    expect(await server.names()).not.toContain('Water the plants')
    await alice.context.setOffline(false)
    await until(async () => (await bob.call.names()).includes('Water the plants'))
    await until(async () => (await alice.call.status()).pending === 0)
  })

  test('a tab that is killed is gone, and the others go on', async () => {
    const [alice, bob] = [await openDevice(), await openDevice()]
    await crash(alice)
    await bob.call.add('Feed the cat')
    await until(async () => (await server.names()).includes('Feed the cat'))
  })

  test('a browser on a disk can be killed, and started again', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'profile-'))
    try {
      for (let times = 2; times; times--) {
        const { context, kill } = await openOnDisk(folder)
        const tab = await openTab<Device>(context, `${server.url}/device`)
        await until(async () => (await tab.call.status()).lastSuccess)
        await kill()
      }
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
