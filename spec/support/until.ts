/** Waits until a condition holds; what is not so in time is an error that says what was waited for. */
export async function until(condition: () => unknown, milliseconds = 8_000): Promise<void> {
  for (const end = Date.now() + milliseconds; !(await condition()); ) {
    if (Date.now() > end) throw new Error(`It did not come to this in ${milliseconds} ms: ${condition}`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

export const sleep = (milliseconds: number) => new Promise<void>(resolve => setTimeout(resolve, milliseconds))
