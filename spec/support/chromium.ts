// Tabs and profiles of a real browser, which specs open, cut off and kill.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { afterAll, describe } from '@jest/globals'
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'
import { LIMIT } from './until.js'

const candidate = process.env.CHROMIUM ?? '/usr/bin/chromium'

/** Where Chromium is; undefined where it is not. */
export const chromiumPath: string | undefined = existsSync(candidate) ? candidate : undefined

if (chromiumPath === undefined && process.env.CHROMIUM) throw new Error(`There is no Chromium at ${candidate}, which CHROMIUM names.`)
if (chromiumPath === undefined) console.warn(`left out: no Chromium at ${candidate}`)

/** `describe`; left out where there is no Chromium. */
export const describeInChromium = chromiumPath ? describe : describe.skip

const open: (() => Promise<unknown>)[] = []
afterAll(async () => {
  for (const end of open.splice(0).reverse()) await end().catch(() => {})
})

let browser: Promise<Browser> | undefined

/** A profile of its own, in memory: its tabs share storage and locks. It is closed after the specs of the file. */
export async function openProfile(): Promise<BrowserContext> {
  if (!browser) {
    browser = chromium.launch({ executablePath: chromiumPath! })
    open.push(async () => (await browser)?.close())
  }
  const context = await (await browser).newContext()
  context.setDefaultTimeout(LIMIT)
  open.push(() => context.close())
  return context
}

export interface ProfileOnDisk {
  readonly context: BrowserContext
  /** Ends all its processes at once, as a loss of power does; the folder stays, and may be opened again. */
  kill(): Promise<void>
}

const FLAGS = ['--headless=new', '--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--no-first-run', '--remote-debugging-port=0']

/** A browser of its own, whose profile is a folder. */
export async function openOnDisk(folder: string): Promise<ProfileOnDisk> {
  const child = spawn(chromiumPath!, [...FLAGS, `--user-data-dir=${folder}`, 'about:blank'], {
    detached: true, // a group, so that all its processes can be killed
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const exited = once(child, 'exit')
  const kill = async () => {
    if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid!, 'SIGKILL')
    await exited
  }
  open.push(kill)
  const connected = await chromium.connectOverCDP(await addressOf(child), { timeout: LIMIT })
  const context = connected.contexts()[0]!
  context.setDefaultTimeout(LIMIT)
  return { context, kill }
}

async function addressOf(child: ChildProcess): Promise<string> {
  const seen: string[] = []
  for await (const line of createInterface({ input: child.stderr! })) {
    seen.push(line)
    const address = /DevTools listening on (ws:\S+)/.exec(line)?.[1]
    if (!address) continue
    child.stderr!.resume()
    return address
  }
  throw new Error(`Chromium did not start: ${seen.join('\n')}`)
}

/** What a page gives to specs by `offer` (spec/chromium/pages/offer.ts), called from here. */
export type Remote<Offer> = {
  readonly [Name in keyof Offer]: Offer[Name] extends (...parameters: infer P) => infer R
    ? (...parameters: P) => Promise<Awaited<R>>
    : never
}

export interface Tab<Offer> {
  readonly page: Page
  readonly call: Remote<Offer>
  /** What no part of the page has caught. */
  readonly errors: readonly Error[]
}

/** Opens a page in a new tab; `Offer` is the type of what the page offers, and is there when this resolves. */
export async function openTab<Offer extends object>(context: BrowserContext, url: string): Promise<Tab<Offer>> {
  const page = await context.newPage()
  const errors: Error[] = []
  page.on('pageerror', error => errors.push(error))
  await page.goto(url)
  return { page, call: remote<Offer>(page, errors), errors }
}

function remote<Offer extends object>(page: Page, errors: readonly Error[]): Remote<Offer> {
  const call = async (name: string, parameters: unknown[]) => {
    await page.waitForFunction(() => 'offer' in globalThis).catch(error => Promise.reject(errors[0] ?? error))
    return page.evaluate(([name, parameters]) => (globalThis as any).offer[name](...parameters), [name, parameters] as const)
  }
  return new Proxy({} as Remote<Offer>, {
    get: (_, name) => (name === 'then' ? undefined : (...parameters: unknown[]) => call(String(name), parameters)),
  })
}

/** Whether a text is in what the browser keeps of the database of a tab: this looks into IndexedDB, and saves nothing. */
export async function isKept({ page }: { readonly page: Page }, text: string): Promise<boolean> {
  const kept = await page.evaluate(async () => {
    const answer = <T>(request: IDBRequest<T>) =>
      new Promise<T>((resolve, reject) => {
        request.onsuccess = () => resolve(request.result)
        request.onerror = () => reject(request.error)
      })
    const [found] = await indexedDB.databases()
    const database = await answer(indexedDB.open(found!.name!))
    try {
      const blocks = await answer<Uint8Array<ArrayBuffer>[]>(database.transaction('blocks').objectStore('blocks').getAll())
      return await new Blob(blocks).text()
    } finally {
      database.close()
    }
  })
  return kept.includes(text)
}

/** Ends the process of a tab at once; nothing of the page runs any more. */
export async function crash({ page }: { readonly page: Page }): Promise<void> {
  const session = await page.context().newCDPSession(page)
  const crashed = page.waitForEvent('crash')
  session.send('Page.crash').catch(() => {}) // nobody is there to answer
  await crashed
  await page.close()
}

/** Makes the CPU of a tab so many times slower. */
export async function slowDown({ page }: { readonly page: Page }, times: number): Promise<void> {
  const session = await page.context().newCDPSession(page)
  await session.send('Emulation.setCPUThrottlingRate', { rate: times })
}

/** Lets an origin keep so many bytes; as many as there is room for where none are given. */
export async function limitStorage({ page }: { readonly page: Page }, quotaSize?: number): Promise<void> {
  const session = await page.context().newCDPSession(page)
  await session.send('Storage.overrideQuotaForOrigin', {
    origin: new URL(page.url()).origin,
    ...(quotaSize !== undefined && { quotaSize }),
  })
}
