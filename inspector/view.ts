// What stands in the shadow root, and when it is read again.

import type { DataSource } from 'typeorm'
import { journal, type KeptSynced, onRequest, servers } from '../src/index.js'
import { ask } from './ask.js'
import type { Context, Panel, Tone } from './context.js'
import { h } from './dom.js'
import { conflictRows } from './panels/conflicts.js'
import { decisionRows } from './panels/decisions.js'
import { deferredRows } from './panels/deferred.js'
import { type Listing, listPanel, readRows } from './panels/listPanel.js'
import { pendingRows } from './panels/pending.js'
import { rejectedRows } from './panels/rejected.js'
import { requestsPanel } from './panels/requests.js'
import { serversPanel } from './panels/servers.js'
import { repositoryOf } from './rows.js'
import { messageOf, Status } from './status.js'
import { Tabs } from './tabs.js'
import { printOf } from './values.js'

export interface Shown {
  readonly dataSource: DataSource
  readonly kept: KeptSynced | undefined
  readonly isReadOnly: boolean
}

/** Milliseconds between two looks while it is seen: others may have changed what no status tells. */
const INTERVAL = 2_000
/** Milliseconds in which what changes at once is read once. */
const SOON = 50
/** Of so many looks one reads all, though the servers are as they were: what a retry or another program decides they do not tell. */
const WHOLE = 5
/** Rows that are counted at most where nothing counts them already. */
const COUNTED = 99

const COUNTS = ['pending', 'conflicts', 'deferred', 'rejected'] as const

export class View {
  readonly #requests = requestsPanel()
  readonly #lists = new Map<string, { panel: Panel; listing: Listing<never> }>()
  readonly #status = new Status()
  readonly #message = h('p', { class: 'message', role: 'status' })
  readonly #voice = h('p', { class: 'hidden', role: 'status' })
  readonly #tabs: Tabs
  readonly #ends: (() => void)[] = []
  #timer: ReturnType<typeof setTimeout> | undefined
  #reading: Promise<void> = Promise.resolve()
  /** Something has changed, or may have. */
  #isDue = true
  #looks = 0
  /** What the servers were like when it was read. */
  #print = ''
  #isEnded = false

  constructor(
    private readonly root: ShadowRoot,
    private readonly shown: Shown,
    /** The name of the tab to begin with. */
    tab?: string,
  ) {
    const add = <Item>(listing: Listing<Item>) => {
      const panel = listPanel(listing)
      this.#lists.set(listing.name, { panel, listing: listing as unknown as Listing<never> })
      return panel
    }
    const lists = [add(pendingRows), add(conflictRows), add(deferredRows), add(rejectedRows), add(decisionRows)]
    this.#tabs = new Tabs([serversPanel(), ...lists, this.#requests], tab, () => {
      this.#message.replaceChildren()
      this.refresh(0)
    })
    root.append(h('div', { class: 'inspector' }, this.#status.node, this.#voice, this.#tabs.list, this.#message, this.#tabs.panels))
    this.#listen()
    this.refresh(0)
  }

  #listen(): void {
    const { dataSource, kept } = this.shown
    this.#ends.push(onRequest(dataSource, request => this.#requests.note(request)))
    if (kept) this.#ends.push(kept.subscribe(() => this.refresh()))
    const seen = () => document.visibilityState === 'visible' && this.refresh()
    document.addEventListener('visibilitychange', seen)
    this.#ends.push(() => document.removeEventListener('visibilitychange', seen))
  }

  get tab(): string {
    return this.#tabs.current.name
  }

  end(): void {
    this.#isEnded = true
    clearTimeout(this.#timer)
    for (const end of this.#ends.splice(0)) end()
    this.root.querySelector('.inspector')?.remove()
    this.root.querySelector('dialog')?.close()
  }

  /** Reads again soon, once for all that changes at once. */
  refresh(soon = SOON): void {
    this.#isDue = true
    this.#plan(soon)
  }

  /** A timer at a time: what is due sooner takes its place. */
  #plan(milliseconds: number): void {
    if (this.#isEnded) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#read(), milliseconds)
  }

  /** Reads what is seen; one reading follows the other. */
  #read(): Promise<void> {
    this.#reading = this.#reading.then(async () => {
      if (this.#isEnded) return
      const isDue = this.#isDue || ++this.#looks % WHOLE === 0
      this.#isDue = false
      try {
        if ((this.root.host as HTMLElement).checkVisibility() && document.visibilityState === 'visible') await this.#readOnce(isDue)
      } catch (error) {
        // not each time that it is read again
        if (this.shown.dataSource.isInitialized && this.#message.textContent !== messageOf(error)) this.#say(messageOf(error), 'bad')
      }
      // something may have changed while it read
      this.#plan(this.#isDue ? SOON : INTERVAL)
    })
    return this.#reading
  }

  async #readOnce(isDue: boolean): Promise<void> {
    const { dataSource } = this.shown
    if (!dataSource.isInitialized) return
    const known = await servers(dataSource)
    const print = printOf(known)
    if (print === this.#print && !isDue) return
    this.#print = print
    const context: Context = {
      ...this.shown,
      entities: [...new Set(known.map(({ entity }) => entity))],
      hasSeveralServers: new Set(known.map(({ url }) => new URL(url).origin)).size > 1,
      journalOf: entity => journal(repositoryOf(dataSource, entity)),
      announce: sentence => this.#voice.replaceChildren(sentence),
      say: (sentence, tone) => this.#say(sentence, tone),
      ask: question => ask(this.root, question),
      act: work => this.#act(work),
      refresh: () => this.refresh(),
    }
    this.#status.show(context)
    await this.#tabs.current.read(context)
    await this.#count(context)
  }

  async #count(context: Context): Promise<void> {
    for (const name of COUNTS) {
      const { panel, listing } = this.#lists.get(name) as { panel: Panel; listing: Listing<never> }
      const number = context.kept ? context.kept.status[name] : (await readRows(listing, context, COUNTED + 1)).length
      const text = !context.kept && number > COUNTED ? `${COUNTED}+` : number.toLocaleString('en')
      this.#tabs.setBadge(panel, number ? text : '')
    }
  }

  async #act(work: () => Promise<string | undefined>): Promise<void> {
    try {
      const said = await work()
      if (said) this.#say(said, 'good')
    } catch (error) {
      this.#say(messageOf(error), 'bad')
    }
    clearTimeout(this.#timer)
    this.#isDue = true
    await this.#read()
  }

  #say(sentence: string, tone?: Tone): void {
    if (this.#isEnded) return
    const { dataset } = this.#message
    // the same sentence again is read again
    this.#message.replaceChildren(h('span', { dir: 'auto' }, sentence))
    if (tone) dataset.tone = tone
    else delete dataset.tone
  }
}
