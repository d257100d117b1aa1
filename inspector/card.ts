// A row in a list: what it is, what it is about, and what can be done.

import type { Context } from './context.js'
import { h } from './dom.js'
import { differences, labelOf, type Property, type Row, showAt, valueAt } from './rows.js'

/** Which row it is. */
export const which = ({ hasSeveralServers }: Context, { entity, id, url }: { entity: string; id: string; url: string }) => ({
  entity,
  id,
  url: hasSeveralServers ? url : undefined,
})

export interface CardParts {
  readonly entity: string
  readonly id: string
  /** Of its server, where it is not the only one. */
  readonly url?: string | undefined
  /** The sides by which the row may be called. */
  readonly sides: readonly Row[]
  readonly tags?: readonly (string | undefined)[]
  /** Why it is here. */
  readonly why?: string | undefined
  readonly body?: readonly (Node | undefined)[]
  readonly actions?: readonly Node[]
}

export function card({ entity, id, url, sides, tags = [], why, body = [], actions = [] }: CardParts): HTMLElement {
  const label = labelOf(...sides)
  const known = tags.filter(tag => tag !== undefined)
  return h(
    'li',
    { class: 'card', tabindex: -1 },
    h(
      'header',
      {},
      h('h3', { dir: 'auto' }, label ?? entity),
      ...known.map(tag => h('span', { class: 'tag' }, tag)),
      h('p', { class: 'which' }, h('span', {}, entity), ' ', h('code', {}, id), url !== undefined && ` at ${new URL(url).origin}`),
    ),
    why !== undefined && h('p', { class: 'why' }, why),
    ...body,
    actions.length > 0 && h('div', { class: 'actions' }, ...actions),
  )
}

/** A button of a card; `about` says to those who hear it alone which row it is about. */
export const button = (label: string, click: () => void, { about, kind }: { about?: string; kind?: string } = {}) =>
  h('button', { type: 'button', click, class: kind, 'aria-label': about && `${label}: ${about}` }, label)

/** Versions of a row beside each other, in the properties in which any of them differ. */
export function compare(properties: readonly Property[], sides: Readonly<Record<string, Row>>): HTMLElement | undefined {
  const rows = Object.values(sides)
  const [first, ...others] = rows
  // of one version alone what it has
  const shown = others.length
    ? properties.filter(property => others.some(other => differences([property], first, other).length > 0))
    : properties.filter(property => (valueAt(first, property) ?? undefined) !== undefined)
  if (!shown.length) return
  const names = Object.keys(sides)
  // roles: what is narrow is no table to the eye, and stays one to the ear
  return h(
    'table',
    { class: rows.length > 1 ? 'compare' : 'compare single', role: 'table' },
    h(
      'thead',
      { role: 'rowgroup' },
      h('tr', { role: 'row' }, ...['Property', ...names].map(name => h('th', { scope: 'col', role: 'columnheader' }, name))),
    ),
    h(
      'tbody',
      { role: 'rowgroup' },
      ...shown.map(property =>
        h(
          'tr',
          { role: 'row' },
          h('th', { scope: 'row', role: 'rowheader' }, property.path),
          ...rows.map((row, i) => h('td', { role: 'cell', 'data-side': names[i] }, showAt(row, property))),
        ),
      ),
    ),
  )
}
