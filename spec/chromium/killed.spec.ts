// Tabs and browsers that are killed while they save and sync. KILLS=200 makes it longer.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import type { BrowserContext, Page } from 'playwright-core'
import { crash, describeInChromium, openOnDisk, openProfile, openTab } from '../support/chromium.js'
import { serveTasks, type TaskServer } from '../support/taskServer.js'
import { sleep, until } from '../support/until.js'
import type { kept } from './pages/kept.js'

const KILLS = Number(process.env.KILLS ?? 8)
const SLOW = 300_000 + KILLS * 30_000
/** Rows of one statement: all of them are saved, or none. */
const ROWS = 500

describeInChromium('killed at any moment', () => {
  let server: TaskServer
  beforeAll(async () => {
    server = await serveTasks('kept')
  })
  afterAll(() => server?.close())

  /** Opens what was left, and looks at it; then writes and saves until the end, which `kill` is. */
  async function live(context: BrowserContext, least: { count: number }, kill: (tab: { page: Page }) => Promise<void>): Promise<void> {
    const tab = await openTab<typeof kept>(context, `${server.url}/kept`)
    await tab.page.exposeFunction('saved', (count: number) => {
      least.count = Math.max(least.count, count)
    })
    expect(await tab.call.open({ debounce: 1 })).toBe('done')
    expect(await tab.call.check()).toEqual([{ integrity_check: 'ok' }])
    // Chromium may find its own file corrupt when all of it was killed, and says so
    if (kill !== crash && (await tab.call.lost())) least.count = 0
    const count = await tab.call.count()
    expect(count % ROWS).toBe(0)
    expect(count).toBeGreaterThanOrEqual(least.count)
    void tab.call.fillAndSave(ROWS).catch(() => {}) // nobody is there to answer
    if (!least.count) await until(() => least.count) // else a slow machine would have saved nothing ever
    await sleep(Math.random() * 400)
    await kill(tab)
  }

  test(
    'a tab leaves what it has saved, and no row of what it has not saved whole',
    async () => {
      const context = await openProfile()
      const least = { count: 0 }
      for (let i = 0; i < KILLS; i++) await live(context, least, crash)
      expect(least.count).toBeGreaterThan(0)
    },
    SLOW,
  )

  test(
    'a browser does the same',
    async () => {
      const folder = mkdtempSync(join(tmpdir(), 'profile-'))
      try {
        const least = { count: 0 }
        for (let i = 0; i < KILLS / 4; i++) {
          const { context, kill } = await openOnDisk(folder)
          await live(context, least, kill)
        }
      } finally {
        rmSync(folder, { recursive: true, force: true })
      }
    },
    SLOW,
  )

  test(
    'a tab that syncs loses nothing that it has saved, and pushes nothing twice',
    async () => {
      const context = await openProfile()
      const told: string[] = []
      for (let i = 0; i < KILLS; i++) {
        const tab = await openTab<typeof kept>(context, `${server.url}/kept`)
        await tab.page.exposeFunction('saved', (name: string) => {
          told.push(name)
        })
        expect(await tab.call.open({ debounce: 20 })).toBe('done')
        const names = await tab.call.names()
        expect(names).toEqual(expect.arrayContaining(told))
        await tab.call.keepSynced({ debounce: 10 })
        void tab.call.addAndSave().catch(() => {})
        if (!told.length) await until(() => told.length)
        await sleep(100 + Math.random() * 700)
        await crash(tab)
      }
      const tab = await openTab<typeof kept>(context, `${server.url}/kept`)
      await tab.call.open()
      expect(await tab.call.sync()).toBe('done')
      const names = await tab.call.names()
      expect(names).toEqual(expect.arrayContaining(told))
      expect(told.length).toBeGreaterThan(0)
      expect(await server.names()).toEqual(names)
      expect(new Set(names).size).toBe(names.length)
      expect(await tab.call.status()).toEqual({ conflicts: 0, deferred: 0, rejected: 0, pending: 0 })
    },
    SLOW,
  )

  test('a tab that dies before it hears the answer to its push knows what it has pushed', async () => {
    const context = await openProfile()
    const tab = await openTab<typeof kept>(context, `${server.url}/kept`)
    await tab.call.open({ debounce: 60_000 })
    await tab.call.sync()
    await tab.call.add('Pushed once')
    const arrived: string[] = []
    await tab.page.route(/\/sync(\?|$)/, async route => {
      if (route.request().method() !== 'POST') return route.continue()
      // the server stores it, and its answer is lost
      await route.fetch()
      arrived.push(route.request().postData() ?? '')
    })
    void tab.call.sync().catch(() => {})
    await until(() => arrived.length)
    await crash(tab)
    expect((await server.names()).filter(name => name === 'Pushed once')).toHaveLength(1)
    const next = await openTab<typeof kept>(context, `${server.url}/kept`)
    await next.call.open()
    expect(await next.call.names()).toContain('Pushed once')
    // another device changes it meanwhile: the one that has pushed it has nothing of its own in it
    await server.rename('Pushed once', 'Renamed there')
    expect(await next.call.sync()).toBe('done')
    expect(await next.call.names()).toContain('Renamed there')
    expect(await next.call.status()).toEqual({ conflicts: 0, deferred: 0, rejected: 0, pending: 0 })
  })
})
