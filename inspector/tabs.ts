// Panels, one of which is shown: a list of tabs with one stop for the tab key (WAI-ARIA Authoring Practices, Tabs).

import type { Panel } from './context.js'
import { h } from './dom.js'

export class Tabs {
  readonly list = h('div', { role: 'tablist', 'aria-label': 'Sync', keydown: event => this.#key(event as KeyboardEvent) })
  readonly panels = h('div', { class: 'panels' })
  readonly #tabs = new Map<Panel, { readonly tab: HTMLElement; readonly panel: HTMLElement; readonly badge: HTMLElement }>()
  #current: Panel

  constructor(
    panels: readonly [Panel, ...Panel[]],
    first: string | undefined,
    private readonly selected: (panel: Panel) => void,
  ) {
    this.#current = panels.find(({ name }) => name === first) ?? panels[0]
    for (const panel of panels) {
      const { name, title, node } = panel
      const badge = h('span', { class: 'badge', hidden: true })
      const tab = h(
        'button',
        { type: 'button', role: 'tab', id: `tab-${name}`, 'aria-controls': `panel-${name}`, click: () => this.select(panel) },
        ...[title, ' ', badge],
      )
      const holder = h('section', { role: 'tabpanel', id: `panel-${name}`, 'aria-labelledby': `tab-${name}`, tabindex: 0 }, node)
      this.#tabs.set(panel, { tab, panel: holder, badge })
      this.list.append(tab)
      this.panels.append(holder)
    }
    this.#show()
  }

  get current(): Panel {
    return this.#current
  }

  select(panel: Panel): void {
    this.#current = panel
    this.#show()
    this.selected(panel)
  }

  /** How many there are; '' for none. */
  setBadge(panel: Panel, text: string): void {
    const badge = this.#tabs.get(panel)?.badge
    if (!badge || badge.textContent === text) return
    badge.textContent = text
    badge.hidden = text === ''
  }

  #show(): void {
    for (const [each, { tab, panel }] of this.#tabs) {
      const isCurrent = each === this.#current
      tab.setAttribute('aria-selected', String(isCurrent))
      tab.tabIndex = isCurrent ? 0 : -1
      panel.hidden = !isCurrent
    }
  }

  #key(event: KeyboardEvent): void {
    const all = [...this.#tabs.keys()]
    const place = all.indexOf(this.#current)
    const places: Record<string, number> = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: all.length - 1 }
    const next = places[event.key]
    if (next === undefined || event.altKey || event.ctrlKey || event.metaKey) return
    event.preventDefault()
    const panel = all[(next + all.length) % all.length] as Panel
    this.select(panel)
    this.#tabs.get(panel)?.tab.focus()
  }
}
