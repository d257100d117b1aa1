// Transactions wait while the application changes the schema, and one change waits for the other.

export class SchemaChanges {
  #running: Promise<unknown> | undefined

  get areRunning(): boolean {
    return this.#running !== undefined
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    while (this.#running) await this.#running.catch(() => {})
    const running = work()
    this.#running = running
    try {
      return await running
    } finally {
      this.#running = undefined
    }
  }

  /** Waits for the change that is running, until a time in milliseconds since 1/1/1970 at the longest. */
  async wait(deadline: number): Promise<void> {
    await Promise.race([this.#running?.catch(() => {}), delay(Math.max(0, deadline - Date.now()))])
  }
}

export const delay = (milliseconds: number) => new Promise<void>(resolve => setTimeout(resolve, milliseconds))
