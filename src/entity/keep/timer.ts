/** Runs something later, once, and does not keep a Node process alive for it. */
export class Timer {
  #handle: ReturnType<typeof setTimeout> | undefined

  constructor(private readonly run: () => void) {}

  /** In so many milliseconds, instead of when it was due before. */
  set(milliseconds: number): void {
    this.clear()
    // a timer counts no further, and fires at once
    this.#handle = setTimeout(this.run, Math.min(Math.max(0, milliseconds), 2 ** 31 - 1))
    ;(this.#handle as { unref?(): void }).unref?.()
  }

  clear(): void {
    clearTimeout(this.#handle)
  }
}

/** Resolves after so many milliseconds, or when the signal is aborted; does not keep a Node process alive. */
export function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const done = () => {
      timer.clear()
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = new Timer(done)
    timer.set(milliseconds)
    signal.addEventListener('abort', done)
    if (signal.aborted) done()
  })
}
