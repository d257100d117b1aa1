import type { ClockStatements } from '../clock.js'
import { first, query } from '../statement.js'

export const NOW = '(SELECT now FROM sync_clock)'
export const WALL_CLOCK = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"

/** `wallClock` is SQL for milliseconds since 1/1/1970. */
export const clockStatements = (wallClock: string): ClockStatements => ({
  *clock() {
    const row = yield* first('SELECT now, collection, horizon FROM sync_clock')
    return { now: Number(row?.now), collection: String(row?.collection), horizon: Number(row?.horizon) }
  },

  *tick() {
    const row = yield* first(`UPDATE sync_clock SET now = max(${wallClock}, now + 1) RETURNING now`)
    return Number(row?.now)
  },

  *mark() {
    const others = yield* first('PRAGMA data_version')
    const own = yield* first('SELECT total_changes() AS changes')
    return `${others?.data_version} ${own?.changes}`
  },

  // biome-ignore lint/correctness/useYield: a file has no replicas
  *isReplica() {
    return false
  },

  *bypassCapture(isBypassed) {
    yield* query(`UPDATE sync_clock SET bypass = ${isBypassed ? '1' : 'NULL'}`)
  },
})
