// What databases with a pool of asynchronous connections have in common.

import type { Row, Statement, Transaction } from './statement.js'

/** Runs the statements of a transaction, one after the other. */
export async function drive<T>(body: Transaction<T>, perform: (statement: Statement) => Promise<Row[]>): Promise<T> {
  let state = body.next()
  while (!state.done) {
    let rows: Row[]
    try {
      rows = await perform(state.value)
    } catch (error) {
      state = body.throw(error)
      continue
    }
    state = body.next(rows)
  }
  return state.value
}

/**
 * Waits for a connection until `deadline`, in milliseconds since 1/1/1970: the application may hold every connection of the pool, and wait for us.
 * Undefined where none was free; one that comes later is given back.
 */
export async function inTime<C>(connecting: Promise<C>, deadline: number, giveBack: (connection: C) => unknown): Promise<C | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<undefined>(resolve => {
    timer = setTimeout(resolve, Math.max(1, deadline - Date.now()), undefined)
  })
  try {
    const connection = await Promise.race([connecting, late])
    if (connection) return connection
  } finally {
    clearTimeout(timer)
  }
  connecting.then(giveBack, () => {})
  return
}
