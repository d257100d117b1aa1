// A panel that lists rows of all entities, so many at a time.

import type { ObjectLiteral } from 'typeorm'
import type { ListOptions, SyncJournal } from '../../src/index.js'
import type { Context, Panel } from '../context.js'
import { h, KeyedList } from '../dom.js'
import { printOf } from '../values.js'

/** Rows that are shown at first, and how many more with each press of the button. */
const PAGE = 50
/** Rows that are shown at most. */
const MOST = 1_000

export interface Listing<Item> {
  readonly name: string
  readonly title: string
  /** What stands above the list. */
  readonly about: string
  /** What stands there where nothing is listed. */
  readonly none: string
  list(journal: SyncJournal<ObjectLiteral>, options: Required<Pick<ListOptions, 'limit'>>): Promise<Item[]>
  keyOf(item: Item): string
  card(item: Item, context: Context): HTMLElement
  readonly order?: (one: Item, other: Item) => number
}

/** Reads no more than so many rows, from one entity after the other, or, where they have an order, from each. */
export async function readRows<Item>({ list, order }: Listing<Item>, { entities, journalOf }: Context, limit: number): Promise<Item[]> {
  const rows: Item[] = []
  for (const entity of entities) {
    if (!order && rows.length >= limit) break
    rows.push(...(await list(journalOf(entity), { limit: order ? limit : limit - rows.length })))
  }
  return order ? rows.sort(order).slice(0, limit) : rows
}

export function listPanel<Item>(listing: Listing<Item>): Panel {
  let limit = PAGE
  let latest: Context
  let isReadOnly = false
  // until it was read nothing is said
  const none = h('p', { class: 'none', hidden: true }, listing.none)
  const about = h('p', { class: 'about', hidden: true }, listing.about)
  const list = h('ul', { class: 'cards', hidden: true, tabindex: -1, 'aria-label': listing.title })
  const more = h('button', { type: 'button', class: 'quiet more', hidden: true, click: () => showMore() }, '')
  const node = h('div', {}, about, none, list, more)
  const cards = new KeyedList<Item>(
    list,
    listing.keyOf,
    item => `${isReadOnly} ${printOf(item)}`,
    item => listing.card(item, latest),
  )

  async function read(context: Context): Promise<void> {
    const rows = await readRows(listing, context, limit + 1)
    latest = context
    isReadOnly = context.isReadOnly
    const isMore = rows.length > limit
    none.hidden = rows.length > 0
    about.hidden = list.hidden = rows.length === 0
    more.hidden = !isMore || limit >= MOST
    more.textContent = `Show ${PAGE} more`
    if (isMore && limit >= MOST) about.textContent = `${listing.about} These are the first ${MOST}.`
    cards.update(rows.slice(0, limit), node.closest<HTMLElement>('[role=tabpanel]') ?? node)
  }

  async function showMore(): Promise<void> {
    const first = list.children.length
    limit = Math.min(MOST, limit + PAGE)
    await latest.act(async () => undefined)
    ;(list.children[first] as HTMLElement | undefined)?.focus()
  }

  return { name: listing.name, title: listing.title, node, read }
}
