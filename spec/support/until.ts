/**
 * Milliseconds that a spec waits for anything, on however slow a machine; less than the 45 s after which keepSynced syncs at the earliest where nothing
 * has told it to, which no spec should take for what it waits for.
 */
export const LIMIT = 40_000

/** Waits until a condition holds; what is not so in time is an error that says what was waited for. */
export async function until(condition: () => unknown): Promise<void> {
  for (const end = Date.now() + LIMIT; !(await condition()); ) {
    if (Date.now() > end) throw new Error(`It did not come to this in ${LIMIT} ms: ${condition}`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

export const sleep = (milliseconds: number) => new Promise<void>(resolve => setTimeout(resolve, milliseconds))
