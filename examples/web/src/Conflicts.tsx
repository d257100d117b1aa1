import { useState } from 'react'
import type { DataSource } from 'typeorm'
import { useConflicts } from 'typeorm-sync/react'
import { Conflict } from './Conflict.js'
import { Dialog } from './parts.js'

/** What two devices changed differently. It waits for as long as the user likes; all other rows go on. */
export function Conflicts({ dataSource }: { dataSource: DataSource }) {
  const { rows: conflicts, resolve } = useConflicts(dataSource)
  const [isOpen, setOpen] = useState(false)
  if (!conflicts.length) return null
  const text =
    conflicts.length === 1 ? '1 conflict: somebody else changed the same' : `${conflicts.length} conflicts: others changed the same`
  return (
    <>
      <aside className="notice">
        <p>{text}</p>
        <button type="button" onClick={() => setOpen(true)}>
          Decide
        </button>
      </aside>
      {isOpen && (
        <Dialog title="Which one counts?" onClose={() => setOpen(false)}>
          {conflicts.map(conflict => (
            <Conflict key={`${conflict.entity} ${conflict.id}`} conflict={conflict} onDecide={winner => resolve(conflict, winner)} />
          ))}
        </Dialog>
      )}
    </>
  )
}
