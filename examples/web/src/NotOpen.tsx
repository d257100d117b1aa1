import { DatabaseTakenOverError } from 'typeorm-sync'
import { DatabaseInUseError, OtherOwnerError } from 'typeorm-sync/browser'
import { open } from './sync.js'

interface Props {
  readonly error: unknown
  readonly retry: (takeOver: boolean) => void
}

/** Why there is no database, and what can be done. */
export function NotOpen({ error, retry }: Props) {
  if (error === undefined) return <main className="empty" />
  if (error instanceof DatabaseInUseError || error instanceof DatabaseTakenOverError)
    return (
      <main className="gate">
        <h2>Open in another tab</h2>
        <p>One tab at a time has the database of a device. What was written there is saved.</p>
        <button type="button" onClick={() => retry(true)}>
          Use it here
        </button>
      </main>
    )
  if (error instanceof OtherOwnerError) {
    const remove = async () => {
      const { database } = await open(error.user, true)
      const isGone = await database.wipe(unpushed =>
        confirm(`${unpushed} of ${error.user}'s changes never reached the server. Remove them?`),
      )
      if (isGone) retry(false)
      else await database.close()
    }
    return (
      <main className="gate">
        <h2>This device holds the rows of {error.user}</h2>
        <button type="button" onClick={remove}>
          Remove them
        </button>
      </main>
    )
  }
  return (
    <main className="gate">
      <h2>The database did not open</h2>
      <p role="alert">{String(error)}</p>
      <button type="button" onClick={() => retry(false)}>
        Try again
      </button>
    </main>
  )
}
