import { useCallback, useEffect, useState } from 'react'
import { type Opened, open } from './sync.js'

interface Attempt {
  readonly opened?: Opened
  /** Why it is not open, or not any more. */
  readonly error?: unknown
}

/** The user's database on this device, open for as long as the component is there, and no other tab takes it over. */
export function useDatabase(user: string): Attempt & { retry: (takeOver: boolean) => void } {
  const [attempt, setAttempt] = useState<Attempt>({})
  const [{ takeOver }, begin] = useState({ takeOver: false })
  const retry = useCallback((takeOver: boolean) => begin({ takeOver }), [])

  useEffect(() => {
    setAttempt({})
    const ended = new AbortController()
    const opening = open(user, takeOver)
    opening.then(
      opened => {
        const { signal } = opened.database
        signal.addEventListener('abort', () => setAttempt({ error: signal.reason }), { signal: ended.signal })
        if (!ended.signal.aborted) setAttempt({ opened })
      },
      error => !ended.signal.aborted && setAttempt({ error }),
    )
    return () => {
      ended.abort()
      opening.then(close).catch(() => {})
    }
  }, [user, takeOver])

  return { ...attempt, retry }
}

async function close({ kept, database }: Opened): Promise<void> {
  await kept.stop()
  await database.close()
}
