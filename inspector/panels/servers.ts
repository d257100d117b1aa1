// The servers, and how far each is read and pushed.

import { type SyncServer, servers as serversOf } from '../../src/index.js'
import type { Context, Panel } from '../context.js'
import { h, KeyedList } from '../dom.js'
import { printOf, time } from '../values.js'

function readCell({ readUpTo, isReading }: SyncServer): (Node | string)[] {
  if (isReading) return ['a part; the next sync reads on']
  return readUpTo ? ['up to ', time(readUpTo)] : ['nothing yet']
}

function pushedCell({ isPushed, hasOpenPush, pushedUpTo, changedUpTo }: SyncServer): (Node | string)[] {
  if (hasOpenPush) return ['a push has had no answer; the next sync finds out']
  if (isPushed) return changedUpTo ? ['everything, up to ', time(Math.min(changedUpTo, pushedUpTo))] : ['nothing to push']
  return pushedUpTo ? ['up to ', time(pushedUpTo), '; there are later changes'] : ['nothing yet']
}

const pathOf = (url: string) => url.slice(new URL(url).origin.length)

function row(server: SyncServer): HTMLElement {
  const state = server.hasOpenPush || server.isReading ? 'open' : server.isPushed && server.readUpTo ? 'done' : 'due'
  const cell = (side: string, content: readonly (Node | string)[]) =>
    h('td', { role: 'cell', 'data-side': side }, h('span', {}, ...content))
  return h(
    'tr',
    { role: 'row', class: state },
    h('th', { scope: 'row', role: 'rowheader' }, server.entity, h('code', {}, pathOf(server.url))),
    cell('Read', readCell(server)),
    cell('Pushed', pushedCell(server)),
  )
}

function table(origin: string): { readonly node: HTMLElement; readonly rows: KeyedList<SyncServer> } {
  const body = h('tbody', { role: 'rowgroup' })
  const header = ['Entity', 'Read', 'Pushed'].map(name => h('th', { scope: 'col', role: 'columnheader' }, name))
  const node = h(
    'section',
    { class: 'server' },
    h('h3', {}, origin),
    h(
      'table',
      { class: 'compare', role: 'table', 'aria-label': origin },
      h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, ...header)),
      body,
    ),
  )
  return { node, rows: new KeyedList(body, ({ entity, url }) => `${entity} ${url}`, printOf, row) }
}

export function serversPanel(): Panel {
  const none = h('p', { class: 'none', hidden: true }, 'This database syncs with no server yet.')
  const list = h('div', {})
  const node = h('div', {}, none, list)
  const tables = new Map<string, ReturnType<typeof table>>()

  async function read({ dataSource }: Context): Promise<void> {
    const known = await serversOf(dataSource)
    const origins = new Map<string, SyncServer[]>()
    for (const server of known) {
      const { origin } = new URL(server.url)
      origins.set(origin, [...(origins.get(origin) ?? []), server])
    }
    none.hidden = known.length > 0
    for (const origin of [...tables.keys(), ...origins.keys()]) {
      const shown = tables.get(origin) ?? table(origin)
      tables.set(origin, shown)
      if (!shown.node.isConnected) list.append(shown.node)
      shown.node.hidden = !origins.has(origin)
      shown.rows.update(origins.get(origin) ?? [], node)
    }
  }

  return { name: 'servers', title: 'Servers', node, read }
}
