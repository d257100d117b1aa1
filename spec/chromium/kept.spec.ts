// A database that a browser keeps: saved, killed, opened again, and handed from tab to tab.

import { afterAll, beforeAll, expect, test } from '@jest/globals'
import type { BrowserContext } from 'playwright-core'
import { crash, describeInChromium, openProfile, openTab } from '../support/chromium.js'
import { serveTasks, type TaskServer } from '../support/taskServer.js'
import { sleep } from '../support/until.js'
import type { kept } from './pages/kept.js'

describeInChromium('a database that a browser keeps', () => {
  let server: TaskServer
  beforeAll(async () => {
    server = await serveTasks('kept')
  })
  afterAll(() => server?.close())

  const openKept = (context: BrowserContext) => openTab<typeof kept>(context, `${server.url}/kept`)

  test('what was written is there after a reload', async () => {
    const tab = await openKept(await openProfile())
    expect(await tab.call.open()).toBe('done')
    await tab.call.add('Buy milk')
    expect(await tab.call.flush()).toBe('done')
    await tab.page.reload()
    expect(await tab.call.open()).toBe('done')
    expect(await tab.call.names()).toEqual(['Buy milk'])
  })

  test('what was written is saved by itself soon', async () => {
    const context = await openProfile()
    const tab = await openKept(context)
    await tab.call.open()
    await tab.call.add('Buy milk')
    await sleep(1_000)
    await crash(tab)
    const next = await openKept(context)
    expect(await next.call.open()).toBe('done')
    expect(await next.call.names()).toEqual(['Buy milk'])
  })

  test('another tab is told that the database is in use, and can take it over with all that was written', async () => {
    const context = await openProfile()
    const [first, second] = [await openKept(context), await openKept(context)]
    await first.call.open({ debounce: 60_000 })
    await first.call.keepSynced()
    await first.call.add('Written before')
    expect(await second.call.open()).toBe('database-in-use')
    expect(await second.call.open({ takeOver: true })).toBe('done')
    expect(await second.call.names()).toEqual(['Written before'])
    expect(await first.call.isTakenOver()).toBe(true)
    expect(await first.call.add('Too late')).toBe('database-taken-over')
    expect(await first.call.sync()).toBe('database-taken-over')
    expect(await first.call.names()).toEqual(['Written before'])
    expect(await second.call.add('Written after')).toBe('done')
    // and back
    await first.page.reload()
    expect(await first.call.open({ takeOver: true })).toBe('done')
    expect(await first.call.names()).toEqual(['Written after', 'Written before'])
  })
})
