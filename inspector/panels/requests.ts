// The last requests, since the inspector is there.

import type { SyncRequest } from '../../src/index.js'
import type { Context, Panel } from '../context.js'
import { h, KeyedList } from '../dom.js'
import { sizeOf, time } from '../values.js'

const MOST = 100

interface Noted extends SyncRequest {
  readonly number: number
}

/** Without the query, which may hold what nobody else should see. */
const pathOf = (url: string) => new URL(url, 'http://server').pathname

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))

function row({ method, url, status, milliseconds, sent, received, error, startedAt }: Noted): HTMLElement {
  const cell = (side: string, ...content: (Node | string)[]) => h('td', { role: 'cell', 'data-side': side }, h('span', {}, ...content))
  const isBad = status === undefined || (status >= 400 && status !== 409)
  return h(
    'tr',
    { role: 'row', class: isBad ? 'bad' : '' },
    cell('Time', time(startedAt)),
    h('th', { scope: 'row', role: 'rowheader' }, h('b', {}, method), ' ', h('code', {}, pathOf(url))),
    cell('Status', status === undefined ? h('span', { title: messageOf(error) }, 'none') : String(status)),
    cell('ms', String(Math.round(milliseconds))),
    cell('Sent', sizeOf(sent)),
    cell('Received', received === undefined ? '–' : sizeOf(received)),
  )
}

export interface RequestsPanel extends Panel {
  note(request: SyncRequest): void
}

export function requestsPanel(): RequestsPanel {
  const noted: Noted[] = []
  let count = 0
  const none = h('p', { class: 'none' }, 'No request was sent since the inspector is open.')
  const body = h('tbody', { role: 'rowgroup' })
  const header = ['Time', 'Request', 'Status', 'ms', 'Sent', 'Received'].map(name => h('th', { scope: 'col', role: 'columnheader' }, name))
  const table = h(
    'table',
    { class: 'compare requests', role: 'table', 'aria-label': 'Requests' },
    h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, ...header)),
    body,
  )
  const clear = h('button', { type: 'button', class: 'quiet', click: () => [noted.splice(0), update()] }, 'Clear')
  const node = h('div', {}, none, table, h('div', { class: 'actions' }, clear))
  const rows = new KeyedList<Noted>(
    body,
    ({ number }) => String(number),
    () => '',
    row,
  )

  function update(): void {
    none.hidden = noted.length > 0
    table.hidden = clear.hidden = !noted.length
    rows.update(noted, node)
  }
  update()

  return {
    ...{ name: 'requests', title: 'Requests', node },
    note(request) {
      noted.unshift({ ...request, number: ++count })
      noted.splice(MOST)
      if (node.checkVisibility()) update()
    },
    async read(_: Context) {
      update()
    },
  }
}
