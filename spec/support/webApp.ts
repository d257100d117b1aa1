// The web app of examples/web, built and served for specs, and what a user does in it.

import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { BrowserContext, Page } from 'playwright-core'
import { seed } from '../../examples/seed.js'
import { type Server, startServer } from '../../examples/server.js'
import { USERS } from '../../examples/users.js'
import { root } from './readme.js'

/** Builds and serves it, with a database in memory that holds what `npm start` begins with. */
export async function startWebApp(): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), 'web-app-'))
  try {
    const vite = join(root, 'node_modules', 'vite', 'bin', 'vite.js')
    const config = join(root, 'spec', 'chromium', 'app.vite.config.ts')
    const env = { ...process.env, NODE_OPTIONS: '', NODE_ENV: 'production' }
    await promisify(execFile)(process.execPath, [vite, 'build', '--config', config, '--outDir', folder, '--logLevel', 'error'], {
      cwd: root,
      env,
    })
    const server = await startServer({ port: 0, database: ':memory:', users: USERS, web: folder })
    await seed(server.dataSource, join(root, 'examples', 'web', 'lake.webp'))
    return server
  } finally {
    rmSync(folder, { recursive: true, force: true }) // what is served was read
  }
}

/** One device, alone in a tab. */
export class DevicePage {
  private constructor(
    readonly page: Page,
    readonly errors: readonly Error[],
  ) {}

  static async open(context: BrowserContext, url: string, user?: string): Promise<DevicePage> {
    const page = await context.newPage()
    const errors: Error[] = []
    page.on('pageerror', error => errors.push(error))
    await page.goto(`${url}/device.html?device=Phone`)
    const device = new DevicePage(page, errors)
    if (user) await device.signIn(user)
    return device
  }

  async signIn(user: string): Promise<void> {
    await this.press(user)
    await this.sees('Live')
  }

  /** Presses the first button of a name. */
  press(name: string): Promise<void> {
    return this.page.getByRole('button', { name }).first().click()
  }

  openList = (name: string) => this.page.getByRole('navigation').getByRole('button', { name, exact: true }).click()

  /** Makes a list of the user's own, and opens it. */
  async newList(name: string): Promise<void> {
    await this.press('New list')
    await this.page.getByLabel('Name').fill(name)
    await this.press('Create')
    await this.page.getByRole('heading', { name }).waitFor()
  }

  switchNetwork = () => this.page.getByRole('switch').click()

  async add(text: string): Promise<void> {
    await this.page.getByLabel('New task').fill(text)
    await this.page.getByLabel('New task').press('Enter')
    await this.sees(text.replace(/ #.*/, ''))
  }

  async rename(from: string, to: string): Promise<void> {
    await this.page.getByRole('listitem').getByRole('button', { name: from }).click()
    await this.page.getByLabel('Task', { exact: true }).fill(to)
    await this.press('Save')
    await this.sees(to)
  }

  /** Waits for a text. */
  sees(text: string | RegExp): Promise<void> {
    return this.page
      .getByText(text, { exact: typeof text === 'string' })
      .first()
      .waitFor()
  }

  /** The names of the tasks that are rendered. */
  tasks = () => this.page.locator('.task .name').allTextContents()
}

const axeSource = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')

interface AxeResults {
  readonly violations: readonly { readonly id: string; readonly nodes: readonly { target: readonly unknown[]; failureSummary: string }[] }[]
}

/** What axe finds fault with, in a page as it is, by all rules or by one. */
export async function violationsIn(page: Page, rule?: string): Promise<string[]> {
  await page.evaluate(axeSource) // not as a script, which the page's policy does not allow
  const { violations }: AxeResults = await page.evaluate(
    runOnly => (globalThis as any).axe.run({ resultTypes: ['violations'], ...(runOnly && { runOnly }) }),
    rule,
  )
  return violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => `${id} ${target.join(' ')}: ${failureSummary}`))
}

/** With LONG_TASKS=1 the function that it gives prints what tasks of the page took more than 50 ms since the last call: figures for docs/example-app.md. */
export async function watchLongTasks(page: Page): Promise<(what: string) => Promise<void>> {
  if (!process.env.LONG_TASKS) return async () => {}
  await page.evaluate(() => {
    const took: number[] = []
    Object.assign(globalThis, { took })
    new PerformanceObserver(list => took.push(...list.getEntries().map(({ duration }) => Math.round(duration)))).observe({
      type: 'longtask',
    })
  })
  return async what => {
    await page.waitForTimeout(1_000)
    const took: number[] = await page.evaluate(() => (globalThis as any).took.splice(0))
    console.log(`${what}: ${took.sort((a, b) => b - a).join(', ')} ms`)
  }
}
