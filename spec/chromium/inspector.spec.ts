// What the inspector shows, and what comes of its buttons.

import { expect, test } from '@jest/globals'
import { syncAll } from 'typeorm-sync'
import { describeInChromium } from '../support/chromium.js'
import { Inspector } from '../support/inspector.js'
import { until } from '../support/until.js'
import { Folder } from './pages/notes.js'

describeInChromium('the inspector', () => {
  const at = new Inspector()

  test('a conflict is decided property by property, and the decision reaches the other device', async () => {
    await at.alice.getRepository(Folder).save([
      { id: 'home', name: 'Home' },
      { id: 'shop', name: 'Shop' },
    ])
    await at.contest(
      { title: 'Oat milk', body: 'Two litres', stars: 2, due: new Date('2026-12-01T10:00:00Z'), folder: { id: 'home' }, done: true },
      { title: 'Soy milk', body: null, stars: 3, due: new Date('2026-12-02T10:00:00Z'), folder: { id: 'shop' }, tags: ['ours'] },
    )
    // by their names, where they are here
    await at.page.getByRole('group', { name: 'folder' }).getByText('Home home').waitFor()
    await at.page.getByRole('group', { name: 'folder' }).getByText('Shop shop').waitFor()
    await at.side('title', /Local/).check()
    await at.side('body', /Remote/).check()
    await at.side('folder', /Remote/).check()
    await at.own('stars').fill('7')
    await at.own('due').fill('2026-12-24 18:00:00.000Z')
    await at.press(/^Resolve/)
    await at.says('Note “Soy milk” is decided.')
    await at.page.getByText('No conflict waits for a decision.').waitFor()
    await at.syncNow()
    expect(await at.atAlice()).toMatchObject({
      ...{ title: 'Soy milk', body: 'Two litres', stars: 7, due: new Date('2026-12-24T18:00:00Z'), folder: { id: 'home' } },
      // what one side alone has changed
      ...{ done: true, tags: ['ours'] },
    })
  })

  test('a value of one’s own may be null, false or JSON; what is none is said, and nothing is stored', async () => {
    await at.contest({ body: 'theirs', tags: ['theirs'], done: true }, { body: 'ours', tags: ['ours'] })
    await at.own('tags').fill('no JSON')
    await at.press(/^Resolve/)
    await at.says('Choose a side first, for: body.')
    await at.page.getByRole('group', { name: 'body' }).getByRole('checkbox', { name: 'null' }).check()
    await at.press(/^Resolve/)
    await at.says('The own value of tags has to be JSON.')
    await at.own('tags').fill('["both", "sides"]')
    await at.press(/^Resolve/)
    await at.says('is decided')
    await at.syncNow()
    expect(await at.atAlice()).toMatchObject({ body: null, tags: ['both', 'sides'], done: true })
  })

  test.each([
    ['Local', { title: 'Still wanted' }],
    ['Remote', null],
  ])('a removed row is decided as a whole: %s', async (name, expected) => {
    await at.share({ id: 'n', title: 'Milk' })
    await at.notesOf(at.alice).delete('n')
    await syncAll(at.alice)
    await at.call.update('n', { title: 'Still wanted' })
    await at.call.sync()
    await at.show('Conflicts')
    await at.page.getByText('The server has removed it, and it was changed here.').waitFor()
    await at.side('The row', new RegExp(name)).check()
    await at.press(/^Resolve/)
    await at.says('is decided')
    await at.syncNow()
    await syncAll(at.alice)
    const note = await at.notesOf(at.alice).findOneBy({ id: 'n' })
    expect(note && { title: note.title }).toEqual(expected)
  })

  test('a decision about a row that has changed meanwhile is not stored', async () => {
    await at.contest({ title: 'Theirs' }, { title: 'Ours' })
    await at.side('title', /Remote/).check()
    // between two looks of the inspector
    await at.page.evaluate(() => Object.defineProperty(document, 'visibilityState', { configurable: true, value: 'hidden' }))
    await at.call.update('n', { title: 'Ours, later' })
    await at.press(/^Resolve/)
    await at.says('has changed meanwhile')
    expect(await at.call.note('n')).toMatchObject({ title: 'Ours, later' })
    await at.page.evaluate(() => Reflect.deleteProperty(document, 'visibilityState'))
    await at.page.getByRole('heading', { name: 'Ours, later' }).waitFor()
    await at.press(/^All remote/)
    await at.press(/^Resolve/)
    await at.says('is decided')
    expect(await at.call.note('n')).toMatchObject({ title: 'Theirs' })
  })

  test('a removal that takes along what was never pushed is asked about', async () => {
    await at.alice.getRepository(Folder).save({ id: 'home', name: 'Home' })
    await syncAll(at.alice)
    await at.call.sync()
    await at.alice.getRepository(Folder).delete('home')
    await syncAll(at.alice)
    await at.call.save([{ id: 'n', title: 'New here', folder: { id: 'home' } }])
    await at.call.sync()
    await at.show('Conflicts')
    await at.side('The row', /Remote/).check()
    await at.press(/^Resolve/)
    const question = at.page.getByRole('dialog', { name: '1 row goes with it' })
    await question.getByRole('button', { name: 'Cancel' }).click()
    expect(await at.call.note('n')).toMatchObject({ title: 'New here' })
    await at.press(/^Resolve/)
    await question.getByRole('button', { name: 'Remove them too' }).click()
    await at.says('is decided')
    expect(await at.call.note('n')).toBeNull()
    await at.show('Decisions')
    await at.page.getByRole('heading', { name: 'New here' }).waitFor()
  })

  test('two rows with one unique value are made one', async () => {
    for (const each of [at.server.dataSource, at.alice]) await each.query('CREATE UNIQUE INDEX one_name ON folder(name)')
    await at.call.query('CREATE UNIQUE INDEX one_name ON folder(name)')
    await at.alice.getRepository(Folder).save({ id: 'hers', name: 'Inbox' })
    await syncAll(at.alice)
    await at.call.saveFolder({ id: 'ours', name: 'Inbox' })
    await at.call.save([{ id: 'n', title: 'In the inbox', folder: { id: 'ours' } }])
    await at.call.sync()
    await at.show('Conflicts')
    await at.press(/^Make one of both/)
    await at.page.getByRole('dialog').getByRole('button', { name: 'Make one of both' }).click()
    await at.says('is decided')
    await at.syncNow()
    expect(await at.atAlice()).toMatchObject({ title: 'In the inbox', folder: { id: 'hers' } })
    expect(await at.alice.getRepository(Folder).find()).toEqual([{ id: 'hers', name: 'Inbox' }])
  })

  test('a rejected row is pushed again by Retry', async () => {
    await at.call.save([{ id: 'n', title: 'Not there' }])
    await at.call.sync()
    await at.show('Rejected')
    await at.cards().getByText('The server does not accept a value of it.').waitFor()
    await at.server.dataSource.query('DROP TRIGGER not_there')
    await at.press(/^Retry/)
    await at.says('The next sync pushes Note “Not there” again.')
    await at.syncNow()
    await at.page.getByText('No row was rejected.').waitFor()
    expect(await at.atAlice()).toMatchObject({ title: 'Not there' })
  })

  test('a change is discarded after a question, and comes back from the decisions', async () => {
    await at.call.save([{ id: 'n', title: 'Not there' }])
    await at.call.sync()
    await at.show('Rejected')
    await at.press(/^Discard/)
    const question = at.page.getByRole('dialog', { name: 'Discard the change of Note “Not there”?' })
    await at.page.keyboard.press('Escape')
    await question.waitFor({ state: 'detached' })
    expect(await at.call.note('n')).not.toBeNull()
    await at.press(/^Discard/)
    await question.getByRole('button', { name: 'Discard' }).click()
    await at.says('is discarded')
    expect(await at.call.note('n')).toBeNull()

    await at.show('Decisions')
    await at.press(/^Undo/)
    await at.page.getByRole('dialog').getByRole('button', { name: 'Undo' }).click()
    await at.says('is undone')
    expect(await at.call.note('n')).toMatchObject({ title: 'Not there' })
  })

  test('a decision is undone for the side that is chosen, which reaches the other device', async () => {
    await at.contest({ title: 'Theirs' }, { title: 'Ours' })
    await at.own('title').fill('Both')
    await at.press(/^Resolve/)
    await at.says('is decided')
    await at.show('Decisions')
    await at.press(/^Undo/)
    await at.page.getByRole('dialog').getByRole('radio', { name: /^Base/ }).check()
    await at.page.getByRole('dialog').getByRole('button', { name: 'Undo' }).click()
    await at.says('is undone')
    await at.syncNow()
    expect(await at.atAlice()).toMatchObject({ title: 'Milk' })
  })

  test('what is pending, deferred, read and asked is shown', async () => {
    await at.share({ id: 'there', title: 'Not here' })
    await at.show('Servers')
    await at.page.getByRole('row', { name: /Note.*up to.*nothing to push|Note.*up to.*everything/ }).waitFor()
    await at.show('Deferred')
    await at.page.getByText('This database does not accept a value of it.').waitFor()
    expect(await at.cards().count()).toBe(1)
    await at.call.save([{ id: 'n', title: 'Milk' }])
    await at.show('Pending')
    await at.page.getByRole('heading', { name: 'Milk' }).waitFor()
    await at.show('Servers')
    await at.page.getByRole('row', { name: /Note.*nothing yet|Note.*later changes/ }).waitFor()
    await at.syncNow()
    await at.show('Requests')
    await at.page
      .getByRole('row', { name: /POST \/sync Status|POST \/sync 200/ })
      .first()
      .waitFor()
  })

  test('it follows what keepSynced tells, without a click', async () => {
    await at.call.keep()
    await at.page.getByText('In sync').waitFor()
    await at.share({ id: 'n', title: 'Milk' })
    await until(async () => at.call.note('n'))
    await at.notesOf(at.alice).update('n', { title: 'Theirs' })
    await at.page.context().setOffline(true)
    await at.call.update('n', { title: 'Ours' })
    await at.page.getByText('Offline', { exact: true }).waitFor()
    await at.page.getByRole('tab', { name: 'Pending 1' }).waitFor()
    await syncAll(at.alice)
    await at.page.context().setOffline(false)
    await at.page.getByRole('tab', { name: 'Conflicts 1' }).waitFor()
    await at.page.getByText('1 to decide').waitFor()
    await at.syncNow()
  })

  test('data is text, and what looks alike is told apart', async () => {
    const evil = '<img src=x onerror="hacked = true"><script>hacked = true</script>'
    await at.contest({ title: evil, body: '' }, { title: ' Ours\u202e\u0000 ', body: null })
    expect(await at.page.getByRole('group', { name: 'title' }).locator('.value').allTextContents()).toEqual([
      'Milk',
      '“ Ours⟨U+202E⟩⟨U+0000⟩ ”',
      evil,
    ])
    expect(await at.page.getByRole('group', { name: 'body' }).locator('.value').allTextContents()).toEqual([
      'One litre',
      'null',
      'empty text',
    ])
    expect(await at.page.evaluate(() => 'hacked' in globalThis)).toBe(false)
    await at.call.save([{ id: 'p', title: 'x'.repeat(5_000), body: 'null' }])
    await at.call.photo('p', [0, 1, 255])
    await at.show('Pending')
    const card = at.cards().filter({ hasText: 'all 5000 characters' })
    await card.waitFor()
    expect((await card.locator('summary').textContent())?.length).toBeLessThan(250)
    await card.getByText('3 B of bytes: 00 01 ff').waitFor()
  })

  test('of thousands of pending rows it lists fifty, and fifty more', async () => {
    await at.call.save(Array.from({ length: 3_000 }, (_, i) => ({ id: `n${i}`, title: `Note ${i}` })))
    await at.show('Pending')
    await at.page.getByRole('tab', { name: 'Pending 99+' }).waitFor()
    await until(async () => (await at.cards().count()) === 50)
    await at.press('Show 50 more')
    await until(async () => (await at.cards().count()) === 100)
    // the first of those that came has the focus
    expect(
      await at
        .cards()
        .nth(50)
        .evaluate(card => card.matches(':focus')),
    ).toBe(true)
  })

  test('read only it has no button that changes anything', async () => {
    await at.contest({ title: 'Theirs' }, { title: 'Ours' })
    await at.call.setReadOnly(true)
    await at.page.getByRole('button', { name: 'Sync now' }).waitFor({ state: 'hidden' })
    await at.page.getByRole('tab', { name: 'Conflicts', selected: true }).waitFor()
    for (const name of ['Servers', 'Pending', 'Conflicts', 'Deferred', 'Rejected', 'Decisions']) {
      await at.show(name)
      await at.page.getByRole('tab', { name: new RegExp(`^${name}`), selected: true }).waitFor()
      const buttons = at.page.locator('typeorm-sync-inspector').getByRole('button')
      expect(await buttons.filter({ visible: true }).allTextContents()).toEqual([])
    }
  })

  test('out of the page it asks the database no more', async () => {
    await at.call.remove('none')
    await at.call.takeAway()
    await at.call.destroy()
    await at.page.waitForTimeout(100)
    expect(at.tab.errors).toEqual([])
  })
})
