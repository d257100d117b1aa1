// The snippets of the docs that need a browser, in one.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import type { BrowserContext, Page } from 'playwright-core'
import { describeInChromium, openProfile } from '../support/chromium.js'
import { needsBrowser, type Snippet, snippets } from '../support/readme.js'
import { serveTasks, type TaskServer } from '../support/taskServer.js'
import { until } from '../support/until.js'

const WASM = /import (\w+) from 'sql.js\/dist\/sql-wasm-browser.wasm\?url'/

/** Writes these snippets into a folder, by their names; what a bundler, or the reader, would give them is put in. */
function writeSnippets(folder: string, named: Readonly<Record<string, Snippet | string>>): void {
  for (const [name, snippet] of Object.entries(named)) {
    const code = (typeof snippet === 'string' ? snippet : snippet.code)
      .replace(WASM, "const $1 = '/sql-wasm-browser.wasm'")
      .replaceAll("'http://localhost:3000'", 'location.origin')
    writeFileSync(join(folder, name), code)
  }
}

const find = (page: string, part: string): Snippet => {
  const found = snippets.filter(snippet => snippet.page === page && snippet.code.includes(part))
  if (found.length !== 1) throw new Error(`${found.length} snippets of ${page} have ${part}`)
  return found[0]!
}

describeInChromium('the docs, in a browser:', () => {
  let server: TaskServer
  let folder: string

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'docs-'))
    writeSnippets(folder, {
      'task.ts': find('README.md', '// task.ts'),
      'browser.ts': find('docs/getting-started.md', '// browser.ts'),
      'started.ts': find('docs/getting-started.md', "'From a browser'"),
      'database.ts': find('docs/browser.md', '// database.ts'),
      'tabs.ts': find('docs/browser.md', 'DatabaseInUseError'),
      'users.ts': find('docs/browser.md', 'OtherOwnerError'),
      'signIn.ts': "import { signIn } from './users.js'\nObject.assign(globalThis, { signIn })",
      'worker.ts': find('docs/browser.md', '// worker.js'),
      'page.ts': find('docs/browser.md', '// page.js'),
    })
    const entries = ['started', 'tabs', 'signIn', 'page', 'worker'].map(name => join(folder, `${name}.ts`))
    server = await serveTasks(...entries)
  })
  afterAll(async () => {
    await server?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  async function open(context: BrowserContext, name: string): Promise<Page> {
    const page = await context.newPage()
    page.on('pageerror', error => console.error(error))
    await page.goto(`${server.url}/${name}`)
    return page
  }
  const textOf = (page: Page) => page.evaluate(() => document.body.textContent ?? '')

  test('each of their snippets is here', () => {
    expect(snippets.filter(s => s.language === 'ts' && needsBrowser(s)).length).toBe(4)
  })

  test('the first page of Getting started shows what another device writes', async () => {
    const alice = await open(await openProfile(), 'started')
    await until(async () => (await textOf(alice)) === 'From a browser')
    const bob = await open(await openProfile(), 'started')
    await until(async () => (await textOf(bob)) === 'From a browser, From a browser')
    await until(async () => (await textOf(alice)) === 'From a browser, From a browser')
  })

  test('the second tab takes over when the user says so, and the first one shows it', async () => {
    const context = await openProfile()
    const first = await open(context, 'tabs')
    const isInert = (page: Page) => page.evaluate(() => document.body.inert)
    await until(() => first.evaluate(async () => (await navigator.locks.query()).held?.length === 1))
    const asked: string[] = []
    context.on('dialog', dialog => {
      asked.push(dialog.message())
      void dialog.accept()
    })
    const second = await open(context, 'tabs')
    await until(() => isInert(first))
    expect(asked).toEqual(['Tasks are open in another tab. Use them here?'])
    expect(await isInert(second)).toBe(false)
  })

  test('somebody else signs in, when the rows of the one before may go', async () => {
    const context = await openProfile()
    const page = await open(context, 'signIn')
    const asked: string[] = []
    context.on('dialog', dialog => {
      asked.push(dialog.message())
      void (asked.length === 1 ? dialog.dismiss() : dialog.accept())
    })
    const signIn = (user: string, task?: string) =>
      page.evaluate(
        async ([user, task]) => {
          try {
            const database = await (globalThis as any).signIn(user)
            if (task) await database.dataSource.getRepository('task').save({ name: task })
            const count = await database.dataSource.getRepository('task').count()
            await database.close()
            return count
          } catch (error) {
            return (error as { code?: string }).code ?? String(error)
          }
        },
        [user, task] as const,
      )
    expect(await signIn('alice', 'Of Alice')).toBe(1)
    expect(await signIn('bob')).toBe('other-owner')
    expect(await signIn('alice')).toBe(1)
    expect(await signIn('bob')).toBe(0)
    expect(asked).toEqual(Array(2).fill('1 changes of alice were never sent. Lose them?'))
  })

  test('a worker has the database, and the page calls it', async () => {
    const context = await openProfile()
    const page = await open(context, 'page')
    await until(async () => (await textOf(page)).includes('From a worker'))
    await until(async () => (await server.names()).includes('From a worker'))
    await page.reload()
    await until(async () => (await textOf(page)).match(/From a worker/g)?.length === 2)
  })
})
