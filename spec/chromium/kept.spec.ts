// A database that a browser keeps: saved, killed, opened again, and handed from tab to tab.

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { BrowserContext } from 'playwright-core'
import { crash, describeInChromium, isKept, limitStorage, openProfile, openTab } from '../support/chromium.js'
import { serveTasks, type TaskServer } from '../support/taskServer.js'
import { sleep, until } from '../support/until.js'
import type { kept } from './pages/kept.js'

/** A debounce that no test waits for, however slow it is. */
const NEVER = 3_600_000

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
    await until(() => isKept(tab, 'Buy milk'))
    await crash(tab)
    const next = await openKept(context)
    expect(await next.call.open()).toBe('done')
    expect(await next.call.names()).toEqual(['Buy milk'])
  })

  test('what was written is saved when the page is hidden', async () => {
    const context = await openProfile()
    const tab = await openKept(context)
    await tab.call.open({ debounce: NEVER })
    await tab.call.add('Buy milk')
    // a browser without a window hides nothing
    await tab.page.evaluate(() => {
      Object.defineProperty(document, 'visibilityState', { value: 'hidden' })
      document.dispatchEvent(new Event('visibilitychange'))
    })
    await until(() => isKept(tab, 'Buy milk'))
    await crash(tab)
    const next = await openKept(context)
    expect(await next.call.open()).toBe('done')
    expect(await next.call.names()).toEqual(['Buy milk'])
  })

  test('another tab is told that the database is in use, and can take it over with all that was written', async () => {
    const context = await openProfile()
    const [first, second] = [await openKept(context), await openKept(context)]
    await first.call.open({ debounce: NEVER })
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
    // and back, without loading the page anew
    expect(await first.call.open({ takeOver: true })).toBe('done')
    expect(await first.call.names()).toEqual(['Written after', 'Written before'])
  })

  describe('taken over by another tab', () => {
    test('while it writes and syncs, nothing is lost that it was told is there', async () => {
      const context = await openProfile()
      const tabs = [await openKept(context), await openKept(context)] as const
      await tabs[0].call.open()
      await tabs[0].call.keepSynced()
      const told: string[] = []
      for (const turn of [0, 1, 2, 3]) {
        const [first, second] = turn % 2 ? [tabs[1], tabs[0]] : tabs
        const before = await first.call.count()
        const writing = first.call.addMany(100_000)
        await until(async () => (await first.call.count()) > before)
        await sleep(turn * 150)
        expect(await second.call.open({ takeOver: true })).toBe('done')
        await second.call.keepSynced()
        const { added, outcome } = await writing
        expect(outcome).toBe('database-taken-over')
        expect(added.length).toBeGreaterThan(0)
        told.push(...added)
        await first.page.reload()
      }
      const names = await tabs[0].call.names()
      expect(names).toEqual(expect.arrayContaining(told))
      expect(await tabs[0].call.check()).toEqual([{ integrity_check: 'ok' }])
      await until(async () => (await server.names()).length >= names.length)
      expect(await server.names()).toEqual(expect.arrayContaining(told))
    })

    test('a transaction that is open then is waited for', async () => {
      const context = await openProfile()
      const [first, second] = [await openKept(context), await openKept(context)]
      await first.call.open()
      const adding = first.call.addHeld('Slowly')
      await until(async () => (await first.call.names()).includes('Slowly'))
      let isOpen = false
      const opening = second.call.open({ takeOver: true }).finally(() => (isOpen = true))
      await sleep(1_000)
      expect(isOpen).toBe(false)
      await first.call.letGo()
      expect(await adding).toBe('done')
      expect(await opening).toBe('done')
      expect(await second.call.names()).toEqual(['Slowly'])
    })

    test('a transaction that does not end keeps the database where it is', async () => {
      const context = await openProfile()
      const [first, second] = [await openKept(context), await openKept(context)]
      await first.call.open({ sync: { busyTimeout: 500 } })
      const adding = first.call.addHeld('Slowly')
      await until(async () => (await first.call.names()).includes('Slowly'))
      expect(await second.call.open({ takeOver: true })).toBe('database-in-use')
      await first.call.letGo()
      expect(await adding).toBe('done')
      expect(await second.call.open({ takeOver: true })).toBe('done')
      expect(await second.call.names()).toEqual(['Slowly'])
    })

    test('a tab that does not answer loses it, and writes nothing when it is back', async () => {
      const context = await openProfile()
      const [first, second] = [await openKept(context), await openKept(context)]
      await first.call.open({ debounce: NEVER })
      await first.call.add('Saved')
      await first.call.flush()
      await first.call.add('Not saved')
      let wake = () => {}
      const isOver = new Promise<void>(resolve => {
        wake = resolve
      })
      let isHanging = false
      await first.page.route('**/hang', async route => {
        isHanging = true
        await isOver
        await route.fulfill()
      })
      const hanging = first.call.hang()
      await until(() => isHanging)
      expect(await second.call.open({ takeOver: true })).toBe('done')
      expect(await second.call.names()).toEqual(['Saved'])
      await second.call.add('Written after')
      await second.call.flush()
      wake()
      await hanging
      expect(await first.call.flush()).toBe('database-taken-over')
      expect(await first.call.isTakenOver()).toBe(true)
      expect(await first.call.add('Too late')).toBe('database-taken-over')
      await second.page.reload()
      await second.call.open()
      expect(await second.call.names()).toEqual(['Saved', 'Written after'])
    })
  })

  test('a page that closes it as it opens it again gets it', async () => {
    const tab = await openKept(await openProfile())
    expect(await tab.call.openTwice()).toBe('done')
    expect(await tab.call.add('Buy milk')).toBe('done')
  })

  test('where there is no more room it can be wiped', async () => {
    const tab = await openKept(await openProfile())
    await limitStorage(tab, 1_000_000)
    await tab.call.open()
    await tab.call.fill(5_000, 'x'.repeat(1_000))
    expect(await tab.call.flush()).toBe('storage-full')
    expect(await tab.call.wipe()).toBe('unpushed-changes')
    expect(await tab.call.wipe(true)).toBe('wiped')
    expect(await tab.call.databases()).toEqual([])
    expect(await tab.call.open()).toBe('done')
    expect(await tab.call.count()).toBe(0)
  })

  describe('belongs to one user', () => {
    test('nobody else opens it, until it is wiped', async () => {
      const context = await openProfile()
      const tab = await openKept(context)
      await tab.call.open({ user: 'alice' })
      await tab.call.add('Of Alice')
      await tab.call.close()
      expect(await tab.call.open({ user: 'bob' })).toBe('other-owner')
      expect(await tab.call.open()).toBe('other-owner')
      expect(await tab.call.open({ user: 'alice' })).toBe('done')
      expect(await tab.call.wipe()).toBe('unpushed-changes')
      await context.setOffline(true)
      await tab.call.keepSynced()
      expect(await tab.call.wipe(false)).toBe('kept')
      expect(await tab.call.names()).toEqual(['Of Alice'])
      // what keeps it in sync does so still
      await context.setOffline(false)
      await until(async () => (await server.names()).includes('Of Alice'))
      await tab.call.add('Of Alice, too')
      expect(await tab.call.wipe(true)).toBe('wiped')
      expect(await tab.call.databases()).toEqual([])
      expect(await tab.call.open({ user: 'bob' })).toBe('done')
      expect(await tab.call.names()).toEqual([])
      // nobody is disturbed by somebody who does not get it
      const other = await openKept(context)
      expect(await other.call.open({ user: 'alice', takeOver: true })).toBe('other-owner')
      expect(await tab.call.add('Of Bob')).toBe('done')
    })

    test('who adopts its rows has it from then on', async () => {
      const tab = await openKept(await openProfile())
      await tab.call.open({ user: 'alice' })
      await tab.call.add('Of Alice')
      expect(await tab.call.adopt('bob')).toBe('adopted')
      await tab.call.close()
      expect(await tab.call.open({ user: 'alice' })).toBe('other-owner')
      expect(await tab.call.open({ user: 'bob' })).toBe('done')
      expect(await tab.call.names()).toEqual(['Of Alice'])
    })

    test('who does not adopt its rows, for edits in the journal would be lost, does not have it', async () => {
      const tab = await openKept(await openProfile())
      await tab.call.open({ user: 'alice' })
      await tab.call.sync()
      await tab.call.keepApart()
      expect(await tab.call.adopt('bob')).toBe('unpushed-changes')
      expect(await tab.call.adopt('bob', false)).toBe('kept')
      await tab.call.add('Of Alice')
      await tab.call.close()
      expect(await tab.call.open({ user: 'bob' })).toBe('other-owner')
      expect(await tab.call.open({ user: 'alice' })).toBe('done')
      expect(await tab.call.adopt('bob', true)).toBe('adopted')
      await tab.call.close()
      expect(await tab.call.open({ user: 'alice' })).toBe('other-owner')
      expect(await tab.call.open({ user: 'bob' })).toBe('done')
    })

    test('rows of before anybody signed in are those of the first who does', async () => {
      const tab = await openKept(await openProfile())
      await tab.call.open()
      await tab.call.add('Of nobody')
      await tab.call.close()
      expect(await tab.call.open({ user: 'alice' })).toBe('done')
      expect(await tab.call.names()).toEqual(['Of nobody'])
      await tab.call.close()
      expect(await tab.call.open()).toBe('other-owner')
    })
  })

  test('where there is no more room, that is said, and what was written is saved when there is', async () => {
    const context = await openProfile()
    const tab = await openKept(context)
    // before anything is stored: Chromium looks only now and then
    await limitStorage(tab, 1_000_000)
    expect(await tab.call.open()).toBe('done')
    await tab.call.fill(5_000, 'x'.repeat(1_000))
    expect(await tab.call.flush()).toBe('storage-full')
    await tab.call.fill(1, 'the last one')
    await until(async () => (await tab.call.failures()).includes('storage-full'))
    expect(await tab.call.sync()).toBe('storage-full')
    expect(await server.dataSource.query('SELECT count(*) AS count FROM task WHERE name LIKE ?', ['%xxxx%'])).toEqual([{ count: 0 }])
    const count = await tab.call.count()
    // nor does it let another tab have what is not saved
    const other = await openKept(context)
    expect(await other.call.open({ takeOver: true })).toBe('database-in-use')
    expect(await tab.call.close()).toBe('storage-full')
    expect(await tab.call.count()).toBe(count)
    await limitStorage(tab)
    // by itself
    await until(() => isKept(tab, 'the last one'))
    await crash(tab)
    expect(await other.call.open()).toBe('done')
    expect(await other.call.count()).toBe(count)
  })
})
