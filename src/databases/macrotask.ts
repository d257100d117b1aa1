/** Resolves when all that is due has run. Not by setTimeout, which browsers hold back to 4 ms, and to a second in a hidden tab. */
export const macrotask: () => Promise<void> =
  typeof setImmediate === 'function'
    ? () => new Promise(resolve => setImmediate(resolve))
    : () =>
        new Promise(resolve => {
          const { port1, port2 } = new MessageChannel()
          ;(port1 as unknown as { onmessage: () => void }).onmessage = () => {
            port1.close()
            resolve()
          }
          port2.postMessage(0)
        })
