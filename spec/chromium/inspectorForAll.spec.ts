// The inspector for those who have no mouse, see little, hear the page, or hold a phone.

import { readFileSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import { describeInChromium } from '../support/chromium.js'
import { Inspector, TABS } from '../support/inspector.js'

/** What runs in the page by `axe`. */
interface Axe {
  run(options: object): Promise<{ violations: { id: string; nodes: { html: string; failureSummary: string }[] }[]; passes: unknown[] }>
}

const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')

describeInChromium('the inspector', () => {
  const at = new Inspector()

  /** Something in every list. */
  async function fill(): Promise<void> {
    await at.share({ id: 'there', title: 'Not here' })
    await at.share({ id: 'gone', title: 'Gone' })
    await at.notesOf(at.alice).delete('gone')
    await at.call.update('gone', { title: 'Wanted'.repeat(100) })
    await at.call.save([{ id: 'rejected', title: 'Not there' }])
    await at.contest({ title: 'Theirs'.repeat(100), stars: 1, tags: ['a'] }, { title: 'Ours', stars: 2, tags: ['b'.repeat(300)] })
    await at.press(/^All local: Wanted/)
    await at.press(/^Resolve: Wanted/)
    await at.says('is decided')
    await at.call.save([{ id: 'pending', title: 'Pending', body: 'a long text '.repeat(100) }])
    await at.call.photo('pending', [1, 2, 3])
  }

  async function eachTab(look: (name: string) => Promise<void>): Promise<void> {
    for (const name of TABS) {
      await at.show(name)
      // until it was read
      await at.page
        .locator('[role=tabpanel]')
        .filter({ visible: true })
        .locator('.card, tbody tr, .none')
        .filter({ visible: true })
        .first()
        .waitFor()
      await look(name)
    }
  }

  test.each(['light', 'dark'] as const)('has no fault that axe finds, %s', async colorScheme => {
    await at.page.emulateMedia({ colorScheme })
    await at.page.addScriptTag({ content: axe })
    const faults: string[] = []
    const check = async (where: string) => {
      const { violations, passes } = await at.page.evaluate(() =>
        (globalThis as unknown as { axe: Axe }).axe.run({ rules: { 'target-size': { enabled: true } } }),
      )
      expect(passes.length).toBeGreaterThan(10)
      faults.push(...violations.flatMap(({ id, nodes }) => nodes.map(node => `${where}: ${id}: ${node.html}: ${node.failureSummary}`)))
    }
    await at.page.getByText('nothing yet').first().waitFor()
    await check('empty')
    await fill()
    await eachTab(check)
    await at.show('Pending')
    await at.page
      .getByRole('button', { name: /^Discard/ })
      .first()
      .click()
    await check('a question')
    expect(faults).toEqual([])
  })

  test('is 320 px wide without a bar to scroll sideways, whatever it shows', async () => {
    await at.page.setViewportSize({ width: 320, height: 640 })
    await fill()
    const wide: string[] = []
    await eachTab(async name => {
      const width = await at.page.evaluate(() => {
        const inspector = document.querySelector('typeorm-sync-inspector') as HTMLElement
        const all = [...(inspector.shadowRoot?.querySelectorAll<HTMLElement>('.panels *') ?? [])].filter(
          e => e.checkVisibility() && !e.closest('thead'),
        )
        const cut = all.filter(
          e =>
            e.scrollWidth > e.clientWidth + 1 && !/^(INPUT|TEXTAREA|OPTION)$/.test(e.tagName) && getComputedStyle(e).display !== 'inline',
        )
        return [document.documentElement.scrollWidth, ...cut.map(e => `${e.tagName}.${e.className} ${e.scrollWidth} > ${e.clientWidth}`)]
      })
      if (width.length > 1 || width[0] !== 320) wide.push(`${name}: ${width}`)
    })
    expect(wide).toEqual([])
  })

  test('follows the scheme that the system has, or that the page gives it', async () => {
    const ground = () => at.page.locator('.inspector').evaluate(e => getComputedStyle(e).backgroundColor)
    await at.page.emulateMedia({ colorScheme: 'light' })
    const light = await ground()
    await at.page.emulateMedia({ colorScheme: 'dark' })
    const dark = await ground()
    expect(dark).not.toBe(light)
    await at.page.addStyleTag({ content: 'typeorm-sync-inspector { color-scheme: light }' })
    expect(await ground()).toBe(light)
    await at.page.addStyleTag({ content: 'typeorm-sync-inspector { --inspector-ground: rgb(1, 2, 3) }' })
    expect(await ground()).toBe('rgb(1, 2, 3)')
  })

  /** What has the focus, as a screen reader would name it, and whether that can be seen. */
  const focused = () =>
    at.page.evaluate(() => {
      const inner = document.activeElement?.shadowRoot?.activeElement as HTMLElement | null
      const element = inner ?? (document.activeElement as HTMLElement)
      const { outlineStyle, outlineWidth } = getComputedStyle(element)
      const label = (element as HTMLInputElement).labels?.[0]?.textContent
      const isSeen = !inner || (outlineStyle !== 'none' && Number.parseFloat(outlineWidth) >= 2)
      return `${element.getAttribute('role') ?? element.tagName.toLowerCase()} ${element.getAttribute('aria-label') ?? label ?? element.textContent?.slice(0, 40)}${isSeen ? '' : ' (not seen)'}`
    })

  test('is used by keyboard alone: a conflict is decided, and the focus leaves it again', async () => {
    await at.contest({ title: 'Theirs', done: true }, { title: 'Ours' })
    const { keyboard } = at.page
    await at.page.getByRole('button', { name: 'Before' }).focus()
    const tab = async () => {
      await keyboard.press('Tab')
      return focused()
    }
    expect(await tab()).toBe('button Sync now')
    // the tabs are one stop, and the arrows lead from one to the other
    expect(await tab()).toBe('tab Conflicts 1')
    await keyboard.press('ArrowLeft')
    expect(await focused()).toMatch(/^tab Pending/)
    await keyboard.press('Home')
    await keyboard.press('ArrowLeft')
    expect(await focused()).toMatch(/^tab Requests/)
    await keyboard.press('Home')
    await keyboard.press('ArrowRight')
    await keyboard.press('ArrowRight')
    expect(await focused()).toBe('tab Conflicts 1')
    expect(await tab()).toMatch(/^tabpanel/)
    expect(await tab()).toBe('input Localthis device')
    await keyboard.press('Space')
    await keyboard.press('ArrowDown')
    expect(await focused()).toBe('input Remoteserver')
    expect(await tab()).toBe('input Own value of title')
    expect(await tab()).toBe('button Resolve: Ours')
    await keyboard.press('Enter')
    await at.says('is decided')
    // its card is gone
    expect(await focused()).toMatch(/^tabpanel/)
    expect(await tab()).toBe('button After')
    expect(await at.call.note('n')).toMatchObject({ title: 'Theirs', done: true })
  })

  test('gives the focus back after a question, and to the next row when one is gone', async () => {
    await at.call.save(['a', 'b', 'c'].map(id => ({ id, title: id })))
    await at.call.sync()
    for (const id of ['a', 'b', 'c']) await at.call.update(id, { title: `${id} again` })
    await at.show('Pending')
    const { keyboard } = at.page
    await at.page.getByRole('button', { name: 'Discard: b again' }).focus()
    await keyboard.press('Enter')
    await at.page.getByRole('dialog').waitFor()
    expect(await focused()).toBe('button Cancel')
    await keyboard.press('Escape')
    expect(await focused()).toBe('button Discard: b again')
    await keyboard.press('Enter')
    await keyboard.press('Tab')
    expect(await focused()).toBe('button Discard')
    await keyboard.press('Enter')
    await at.says('is discarded')
    expect(await focused()).toMatch(/^li c again/)
  })

  test('what is typed and chosen stays while it is read again', async () => {
    await at.contest({ title: 'Theirs', body: 'theirs' }, { title: 'Ours', body: 'ours' })
    await at.side('body', /Remote/).check()
    await at.own('title').fill('Half a wo')
    // it is read again, for there is something new
    await at.call.save([{ id: 'other', title: 'Other' }])
    await at.page.getByRole('tab', { name: 'Pending 1' }).waitFor()
    await at.page.keyboard.type('rd')
    expect(await at.own('title').inputValue()).toBe('Half a word')
    expect(await at.side('body', /Remote/).isChecked()).toBe(true)
    expect(await at.side('title', /Own/).isChecked()).toBe(true)
  })
})
