import { useState } from 'react'
import { Conflict } from './Conflict.js'
import { Dialog } from './parts.js'
import { useConflicts } from './stubs.js'

/** What two devices changed differently. It waits for as long as the user likes; all other rows go on. */
export function Conflicts() {
  const conflicts = useConflicts()
  const [isOpen, setOpen] = useState(false)
  if (!conflicts.length) return null
  const text = conflicts.length === 1 ? 'Somebody else made another change.' : `Others made ${conflicts.length} other changes.`
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
            <Conflict key={`${conflict.entity} ${conflict.id}`} conflict={conflict} />
          ))}
        </Dialog>
      )}
    </>
  )
}
