import { SyncInspector } from './element.js'

export { SyncInspector }

declare global {
  interface HTMLElementTagNameMap {
    'typeorm-sync-inspector': SyncInspector
  }
}

const NAME = 'typeorm-sync-inspector'

// importing it is all that is needed; a page may load two bundles that have it
if (globalThis.customElements && !customElements.get(NAME)) customElements.define(NAME, SyncInspector)
