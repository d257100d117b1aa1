import { createElement, useEffect, useState } from 'react'
import type { DataSource } from 'typeorm'
import type { KeptSynced } from 'typeorm-sync'

interface Props {
  readonly dataSource: DataSource
  readonly kept: KeptSynced
  readonly onClose: () => void
}

/** What the database has synced, and what not. Its code is loaded when it is asked for. */
export function Inspector({ dataSource, kept, onClose }: Props) {
  const [isLoaded, setLoaded] = useState(false)
  useEffect(() => void import('typeorm-sync/inspector').then(() => setLoaded(true)), [])
  return (
    <aside className="drawer" aria-label="Inspector">
      <header>
        <h2>Inspector</h2>
        <button type="button" className="quiet close" aria-label="Close the inspector" onClick={onClose}>
          ×
        </button>
      </header>
      {isLoaded && createElement('typeorm-sync-inspector', { dataSource, kept })}
    </aside>
  )
}
