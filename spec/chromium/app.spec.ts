// The web app of examples/web, as users have it.

import { afterAll, beforeAll, expect, test } from '@jest/globals'
import type { FrameLocator } from 'playwright-core'
import { Member, memberId, Project, Task } from '../../examples/model.js'
import type { Server } from '../../examples/server.js'
import { crash, describeInChromium, isKept, openProfile, slowDown } from '../support/chromium.js'
import { sleep, until } from '../support/until.js'
import { DevicePage, startWebApp, violationsIn, watchLongTasks } from '../support/webApp.js'

describeInChromium('the web app', () => {
  let server: Server
  beforeAll(async () => {
    server = await startWebApp()
  })
  afterAll(() => server?.stop())

  const open = async (user?: string) => DevicePage.open(await openProfile(), server.url, user)
  const stored = async (name: string) => server.dataSource.getRepository(Task).existsBy({ name })

  test('two devices show each other’s edits, and a conflict is solved by hand', async () => {
    const [alice, bob] = await Promise.all([open('alice'), open('bob')])
    await Promise.all([alice.openList('Weekend'), bob.openList('Weekend')])
    await alice.add('Charge the lamps')
    await bob.sees('Charge the lamps')

    await alice.switchNetwork()
    await alice.rename('Charge the lamps', 'Charge both lamps')
    await alice.sees(/1 change to push/)
    await bob.rename('Charge the lamps', 'Buy candles instead')
    await until(() => stored('Buy candles instead'))
    expect(await alice.tasks()).toContain('Charge both lamps')
    await alice.switchNetwork()

    await alice.press('Decide')
    await alice.page.getByRole('dialog').getByText('Buy candles instead').click()
    await alice.press('Keep what is chosen')
    await until(async () => (await alice.tasks()).includes('Buy candles instead'))
    await until(async () => !(await alice.page.getByRole('dialog').isVisible()))

    await alice.page.reload()
    await alice.sees('Buy candles instead')
    expect([...alice.errors, ...bob.errors]).toEqual([])
  })

  test('one page shows two devices, each with a user and a database of its own', async () => {
    const page = await (await openProfile()).newPage()
    await page.goto(server.url)
    const [laptop, phone] = ['Laptop', 'Phone'].map(name => page.frameLocator(`iframe[title=${name}]`)) as [FrameLocator, FrameLocator]
    await laptop.getByRole('button', { name: 'alice' }).click()
    await phone.getByRole('button', { name: 'bob' }).click()
    await phone.getByRole('button', { name: 'Garden' }).waitFor()
    await laptop.getByRole('button', { name: 'Birthday' }).waitFor()
    expect(await phone.getByRole('button', { name: 'Birthday' }).count()).toBe(0)
    for (const device of [laptop, phone]) await device.getByRole('button', { name: 'Weekend' }).click()
    await laptop.getByRole('switch').click()
    await phone.getByRole('checkbox', { name: 'Book a train' }).click()
    await until(() => server.dataSource.getRepository(Task).existsBy({ name: 'Book a train', done: true }))
    expect(await laptop.getByRole('checkbox', { name: 'Book a train' }).isChecked()).toBe(false)
    await laptop.getByRole('switch').click()
    await until(() => laptop.getByRole('checkbox', { name: 'Book a train' }).isChecked())
  })

  test('a page without a network can be loaded anew; what is written there arrives later', async () => {
    const alice = await open('alice')
    await alice.openList('Weekend')
    await alice.page.evaluate(() => navigator.serviceWorker.ready)
    await alice.page.context().setOffline(true)
    await alice.add('Buy a map')
    await alice.sees(/1 change to push/)
    await until(() => isKept(alice, 'Buy a map'))
    await alice.page.reload()
    await alice.sees('Buy a map')
    await alice.press('Inspector')
    await alice.page.getByRole('tab', { name: /Pending/ }).waitFor()
    expect(await stored('Buy a map')).toBe(false)
    await alice.page.context().setOffline(false)
    await until(() => stored('Buy a map'))
    expect(alice.errors).toEqual([])
  })

  test('a tab that is killed in the middle of a sync has lost nothing, and pushes nothing twice', async () => {
    const context = await openProfile()
    const alice = await DevicePage.open(context, server.url, 'alice')
    await alice.openList('Weekend')
    // the server has stored it, and its answer does not arrive
    let answered = () => {}
    const isAnswered = new Promise<void>(resolve => {
      answered = resolve
    })
    await alice.page.route('**/sync?*', async route => {
      if (route.request().method() !== 'POST') return route.continue()
      await route.fetch()
      answered()
    })
    await alice.add('Fill the bottles')
    await isAnswered
    await crash(alice)

    const again = await DevicePage.open(context, server.url)
    await again.openList('Weekend')
    await again.sees('Fill the bottles')
    await again.sees(/Nothing to push/)
    expect(await server.dataSource.getRepository(Task).countBy({ name: 'Fill the bottles' })).toBe(1)
    expect(again.errors).toEqual([])
  })

  test.each([40, 110])('a tab that is killed %s ms after a write, while it saves, has a sound database', async milliseconds => {
    const context = await openProfile()
    const alice = await DevicePage.open(context, server.url, 'alice')
    await alice.newList(`Killed ${milliseconds}`)
    await alice.switchNetwork()
    const saved = `Saved ${milliseconds}`
    await alice.add(saved)
    await until(() => isKept(alice, saved))
    await alice.add(`Perhaps saved ${milliseconds}`)
    await sleep(milliseconds)
    await crash(alice)

    const again = await DevicePage.open(context, server.url)
    await again.openList(`Killed ${milliseconds}`)
    await again.sees(saved)
    await until(() => stored(saved))
    await again.add(`After ${milliseconds}`)
    expect(again.errors).toEqual([])
  })

  test('two tabs of one device: one has the database, the other takes it over, and nothing is lost', async () => {
    const context = await openProfile()
    const first = await DevicePage.open(context, server.url, 'alice')
    await first.newList('Tabs')
    await first.switchNetwork()
    const second = await DevicePage.open(context, server.url)
    await second.sees('Open in another tab')
    await first.add('Written in the first tab')
    await second.press('Use it here')
    await first.sees('Open in another tab')
    await second.openList('Tabs')
    await second.sees('Written in the first tab')
    await second.add('Written in the second tab')
    await until(async () => (await stored('Written in the first tab')) && (await stored('Written in the second tab')))

    await first.press('Use it here')
    await first.sees('Written in the second tab')
    await second.sees('Open in another tab')
    expect([...first.errors, ...second.errors]).toEqual([])
  })

  test('who signs in after somebody else sees nothing of theirs', async () => {
    const context = await openProfile()
    const device = await DevicePage.open(context, server.url, 'alice')
    await device.sees('Birthday')
    await device.switchNetwork()
    await device.openList('Birthday')
    await device.add('Wrap the present')

    // what was never pushed would be lost: she is asked
    const question = new Promise<string>(asked =>
      device.page.once('dialog', dialog => {
        asked(dialog.message())
        void dialog.dismiss()
      }),
    )
    await device.press('Sign out')
    expect(await question).toMatch(/1 of your changes never reached the server/)
    await device.sees('Wrap the present')
    await device.sees(/1 change to push/)
    await device.switchNetwork()
    await device.sees(/Nothing to push/)
    await device.press('Sign out')

    await device.signIn('carol')
    await device.sees('Garden')
    expect(await device.page.locator('body').textContent()).not.toContain('Birthday')
    const databases = await device.page.evaluate(async () => (await indexedDB.databases()).map(({ name }) => name))
    expect(databases).toHaveLength(1)
    expect(device.errors).toEqual([])
  })

  test('who reads a list, and who reads holidays, has nothing to write with', async () => {
    const carol = await open('carol')
    await carol.openList('Weekend')
    await carol.sees('Buy oat milk')
    expect(await carol.page.getByLabel('New task').count()).toBe(0)
    expect(await carol.page.getByRole('checkbox', { disabled: false }).count()).toBe(0)
    await carol.openList('Holidays')
    await carol.sees(/Labour Day/)
    expect(await carol.page.getByRole('main').locator('input, button, select').count()).toBe(0)
  })

  test('axe finds no fault, in the light and in the dark', async () => {
    const [device, bob] = await Promise.all([open(), open('bob')])
    const found: string[] = []
    async function look(what: string, { page } = device): Promise<void> {
      found.push(...(await violationsIn(page)).map(violation => `${what}: ${violation}`))
      await page.emulateMedia({ colorScheme: 'dark' })
      found.push(...(await violationsIn(page, 'color-contrast')).map(violation => `${what}, in the dark: ${violation}`))
      await page.emulateMedia({ colorScheme: 'light' })
    }
    const { keyboard } = device.page
    await look('signing in')
    await device.signIn('alice')
    await device.newList('Seen')
    await device.add('Cut the hedge #autumn')
    await look('a list')
    await device.press('Share')
    await device.page.getByLabel('bob').selectOption('writer')
    await look('its members')
    await keyboard.press('Escape')
    await device.page.getByRole('listitem').getByRole('button', { name: 'Cut the hedge' }).click()
    await look('a task')
    await keyboard.press('Escape')

    await bob.openList('Seen')
    await bob.sees('Cut the hedge')
    await device.switchNetwork()
    await device.rename('Cut the hedge', 'Cut both hedges')
    await bob.rename('Cut the hedge', 'Leave the hedge')
    await until(() => stored('Leave the hedge'))
    await device.switchNetwork()
    await device.press('Decide')
    await look('a conflict')
    await keyboard.press('Escape')
    await look('what is said of conflicts')
    await device.press('Inspector')
    await device.page.getByRole('tab', { name: /Conflicts/ }).click()
    await look('the inspector')
    await device.openList('Holidays')
    await look('holidays')
    const second = await DevicePage.open(device.page.context(), server.url)
    await second.sees('Open in another tab')
    await look('a second tab', second)
    const both = await device.page.context().newPage()
    await both.goto(server.url)
    found.push(...(await violationsIn(both)))
    expect(found).toEqual([])
  })

  test('of ten thousand tasks those are read and rendered that are seen; a slow device shows, ticks and adds some', async () => {
    const { dataSource } = server
    const project = await dataSource.getRepository(Project).save({ name: 'Many' })
    await dataSource.getRepository(Member).save({ id: memberId(project, 'carol'), user: 'carol', role: 'owner', project })
    const tasks = Array.from({ length: 10_000 }, (_, i) => ({ id: `many/${i}`, name: `Task ${String(i).padStart(5, '0')}`, project }))
    for (let i = 0; i < tasks.length; i += 500) await dataSource.getRepository(Task).insert(tasks.slice(i, i + 500))

    const carol = await open()
    await slowDown(carol, 4)
    const longTasks = await watchLongTasks(carol.page)
    await carol.signIn('carol')
    await carol.openList('Many')
    await carol.sees('Task 00000')
    await longTasks('sync and show')
    const list = carol.page.getByRole('region', { name: 'Tasks of Many' })
    for (let i = 0; i < 20; i++) {
      await list.evaluate(element => element.scrollBy(0, 900))
      await sleep(50)
    }
    await until(async () => (await carol.tasks()).includes('Task 00300'))
    expect((await carol.tasks()).length).toBeLessThan(60)
    await longTasks('scroll')
    await carol.page.getByRole('checkbox', { name: 'Task 00300' }).click()
    await until(() => dataSource.getRepository(Task).existsBy({ name: 'Task 00300', done: true }))
    await longTasks('tick')
    await list.evaluate(element => element.scrollTo(0, 0))
    await carol.add('A new one')
    await until(() => stored('A new one'))
    await longTasks('add')
    expect(carol.errors).toEqual([])
  })
})
