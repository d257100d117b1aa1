// The element: its properties, and when it is in a page.

import type { DataSource } from 'typeorm'
import type { KeptSynced } from '../src/index.js'
import { STYLES } from './styles.js'
import { View } from './view.js'

// where there is no page, as in a server that renders one, it can be imported all the same
const Base = (globalThis.HTMLElement ?? class {}) as typeof HTMLElement

const PROPERTIES = ['dataSource', 'kept', 'readOnly'] as const

/**
 * `<typeorm-sync-inspector>`: shows what a data source has synced and what it has not, and lets a person decide. Give it the property `dataSource`, and `kept`
 * where keepSynced keeps it in sync. With `readonly` it has no button that changes anything.
 */
export class SyncInspector extends Base {
  static readonly observedAttributes = ['readonly']
  #dataSource: DataSource | undefined
  #kept: KeptSynced | undefined
  #view: View | undefined
  #isPlanned = false

  /** An initialised data source that withSync was applied to. */
  get dataSource(): DataSource | undefined {
    return this.#dataSource
  }
  set dataSource(dataSource: DataSource | undefined) {
    if (this.#dataSource === dataSource) return
    this.#dataSource = dataSource
    this.#changed()
  }

  /** What keepSynced gave; without it `Sync now` calls syncAll. */
  get kept(): KeptSynced | undefined {
    return this.#kept
  }
  set kept(kept: KeptSynced | undefined) {
    if (this.#kept === kept) return
    this.#kept = kept
    this.#changed()
  }

  /** It shows, and changes nothing. */
  get readOnly(): boolean {
    return this.hasAttribute('readonly')
  }
  set readOnly(isReadOnly: boolean) {
    this.toggleAttribute('readonly', isReadOnly)
  }

  connectedCallback(): void {
    // what was set before the element was defined hides the accessors
    for (const name of PROPERTIES) {
      if (!Object.hasOwn(this, name)) continue
      const own = Object.getOwnPropertyDescriptor(this, name)?.value
      Reflect.deleteProperty(this, name)
      Reflect.set(this, name, own)
    }
    if (!this.shadowRoot) {
      const styles = new CSSStyleSheet()
      styles.replaceSync(STYLES)
      this.attachShadow({ mode: 'open' }).adoptedStyleSheets = [styles]
    }
    this.#changed()
  }

  disconnectedCallback(): void {
    this.#changed()
  }

  attributeChangedCallback(): void {
    this.#changed()
  }

  /** Several properties that are set at once are one change; so is a move in the page. */
  #changed(): void {
    if (this.#isPlanned) return
    this.#isPlanned = true
    queueMicrotask(() => {
      this.#isPlanned = false
      const tab = this.#view?.tab
      this.#view?.end()
      this.#view = undefined
      if (!this.isConnected || !this.shadowRoot || !this.#dataSource) return
      this.#view = new View(this.shadowRoot, { dataSource: this.#dataSource, kept: this.#kept, isReadOnly: this.readOnly }, tab)
    })
  }
}
