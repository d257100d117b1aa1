// The sync status, and the button that syncs now.

import { AuthenticationError, type KeptState, type KeptSynced, NetworkError, RequestTimeoutError, syncAll } from '../src/index.js'
import type { Context } from './context.js'
import { h } from './dom.js'

type State = KeptState | 'manual'

const WORDS: Record<State, string> = {
  idle: 'In sync',
  syncing: 'Syncing …',
  offline: 'Offline',
  'signed-out': 'Signed out',
  failed: 'Failed',
  manual: 'Synced by hand',
}

const stateOf = (error: unknown): KeptState => {
  if (error instanceof AuthenticationError) return 'signed-out'
  return error instanceof NetworkError || error instanceof RequestTimeoutError ? 'offline' : 'failed'
}

export const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))

export class Status {
  readonly #word = h('strong', {})
  readonly #detail = h('span', { class: 'detail' })
  readonly #error = h('p', { class: 'error', dir: 'auto', hidden: true })
  readonly #button = h('button', { type: 'button', class: 'main', click: () => void this.#syncNow() }, 'Sync now')
  readonly node = h(
    'header',
    { class: 'status' },
    h('div', { class: 'state' }, h('span', { class: 'dot', 'aria-hidden': 'true' }), h('div', {}, h('h2', {}, this.#word), this.#detail)),
    this.#button,
    this.#error,
  )
  #context: Context | undefined
  /** The last state but for syncing, which comes with each attempt. */
  #settled: State | undefined
  /** Until a sync that the button asked for has ended: the success before it. */
  #asked: { readonly before: Date | undefined } | undefined
  /** Of syncs that this button began, where nothing keeps the data source in sync. */
  #own: { state: State; error?: unknown; at?: Date } = { state: 'manual' }

  show(context: Context): void {
    this.#context = context
    this.#button.hidden = context.isReadOnly
    const { state, error, detail } = context.kept ? this.#ofKept(context.kept) : this.#ofOwn()
    this.node.dataset.state = state
    set(this.#word, WORDS[state])
    set(this.#detail, detail)
    set(this.#error, error === undefined ? '' : messageOf(error))
    this.#error.hidden = error === undefined
    const before = this.#settled
    if (state !== 'syncing') this.#settled = state
    // not each sync: only what a person would want to know
    const isNews = before !== undefined && this.#settled !== before && (isTrouble(before) || isTrouble(state))
    if (this.#asked && context.kept && this.#hasEnded(context.kept, this.#asked.before)) this.#asked = undefined
    else if (isNews) context.announce(`${WORDS[state]}.`)
  }

  #ofKept({ status }: KeptSynced) {
    const { state, pending, conflicts, rejected, isLive, lastSuccess, lastError } = status
    const toDecide = conflicts + rejected
    const parts = [
      toDecide > 0 && `${toDecide.toLocaleString('en')} to decide`,
      pending > 0 && `${pending.toLocaleString('en')} pending`,
      isLive && 'live',
      lastSuccess ? `last synced ${lastSuccess.toLocaleTimeString()}` : 'not synced yet',
    ]
    return { state: state as State, error: lastError, detail: parts.filter(part => part).join(' · ') }
  }

  #ofOwn() {
    const { state, error, at } = this.#own
    return { state, error, detail: at ? `last synced ${at.toLocaleTimeString()}` : '' }
  }

  /** Says how the sync that was asked for has ended, where it has. */
  #hasEnded({ status }: KeptSynced, before: Date | undefined): boolean {
    if (status.state === 'syncing') return false
    const isDone = status.lastSuccess !== before
    if (isDone) this.#context?.announce('Synced.')
    else if (isTrouble(status.state)) this.#context?.announce(`${WORDS[status.state]}.`)
    return isDone || isTrouble(status.state)
  }

  async #syncNow(): Promise<void> {
    const context = this.#context
    if (!context) return
    context.announce('Syncing …')
    if (context.kept) {
      this.#asked = { before: context.kept.status.lastSuccess }
      return context.kept.wake()
    }
    this.#own = { ...this.#own, state: 'syncing', error: undefined }
    this.show(context)
    try {
      await syncAll(context.dataSource)
      this.#own = { state: 'idle', at: new Date() }
      context.announce('Synced.')
    } catch (error) {
      this.#own = { ...this.#own, state: stateOf(error), error }
    }
    this.show(context)
    context.refresh()
  }
}

const isTrouble = (state: string) => state === 'offline' || state === 'signed-out' || state === 'failed'

// what is as it was is not touched, for it would be read again
function set(node: HTMLElement, text: string): void {
  if (node.textContent !== text) node.textContent = text
}
