// How to wait without being deaf to an abort.

const LONGEST_TIMER = 2 ** 31 - 1

/** Resolves after so many milliseconds, or when the signal is aborted. */
export function wait(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const done = () => {
      cancel()
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const cancel = startTimer(milliseconds, done)
    signal?.addEventListener('abort', done)
  })
}

/** Like setTimeout, which fires at once where the time is longer than it can count; returns the way to stop it. */
function startTimer(milliseconds: number, run: () => void): () => void {
  const timer = setTimeout(run, Math.min(milliseconds, LONGEST_TIMER))
  return () => clearTimeout(timer)
}

/** Settles as the work does, or rejects with the signal's reason as soon as it is aborted, whatever the work makes of it. */
export function orAbort<T>(work: Promise<T>, signal?: AbortSignal): Promise<T> {
  if (!signal) return work
  return new Promise<T>((resolve, reject) => {
    const abort = () => reject(signal.reason)
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort)
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

/** Aborted when one of them is. */
export const anyOf = (signal: AbortSignal | undefined, other: AbortSignal): AbortSignal =>
  signal ? AbortSignal.any([signal, other]) : other

export interface Deadline {
  readonly signal: AbortSignal
  /** To be called when the work is done. */
  stop(): void
}

/**
 * A signal that is aborted with the other one, or with `error` after so many milliseconds. AbortSignal.timeout is no way: it cannot be stopped, and
 * in Node it does not keep the process alive.
 */
export function deadline(milliseconds: number, error: () => unknown, signal?: AbortSignal): Deadline {
  const late = new AbortController()
  const stop = startTimer(milliseconds, () => late.abort(error()))
  return { signal: anyOf(signal, late.signal), stop }
}
