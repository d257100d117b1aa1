import type { ClockStatements } from '../clock.js'
import { first, query, savepoint, type Transaction } from '../statement.js'
import { SUFFIX } from './catalog.js'
import { codeOf } from './errors.js'

export const NOW = '(SELECT now FROM sync_clock)'
export const WALL_CLOCK = '(extract(epoch FROM clock_timestamp()) * 1000)::bigint'

// A failover, or a restore to a point in time, begins a new timeline of the server: with it the history has another name (law 11).
const TIMELINE = `CASE WHEN pg_is_in_recovery()
  THEN upper(lpad(to_hex((SELECT timeline_id FROM pg_control_checkpoint())), 8, '0'))
  ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END`

/** Bypasses the triggers of this schema until the transaction ends, or lets them act again; those of another one act. */
export const bypassCapture = (isBypassed: boolean) => `SELECT set_config('typeorm_sync.bypass', ${isBypassed ? SUFFIX : "''"}, true)`

/** `wallClock` is SQL for milliseconds since 1/1/1970. */
export function clockStatements(wallClock: string): ClockStatements {
  let timeline: string | undefined
  return {
    *clock() {
      timeline ??= yield* readTimeline()
      const name = timeline ? `collection || '.' || ${timeline}` : 'collection'
      const row = yield* first(`SELECT now, ${name} AS collection, horizon FROM sync_clock`)
      return { now: Number(row?.now), collection: String(row?.collection), horizon: Number(row?.horizon) }
    },

    *tick() {
      const row = yield* first(`UPDATE sync_clock SET now = greatest(${wallClock}, now + 1) RETURNING now`)
      return Number(row?.now)
    },

    // biome-ignore lint/correctness/useYield: nothing tells of the tables that are not synced
    *mark() {
      return undefined
    },

    *isReplica() {
      return (yield* first('SELECT pg_is_in_recovery() AS replica'))?.replica === true
    },

    *bypassCapture(isBypassed) {
      yield* query(bypassCapture(isBypassed))
    },
  }
}

// Where the server does not say its timeline, the name is the stored one alone, always.
function* readTimeline(): Transaction<string> {
  try {
    yield* savepoint(() => query(`SELECT ${TIMELINE}`))
    return TIMELINE
  } catch (error) {
    if (!['42501', '42883', '0A000'].includes(codeOf(error))) throw error
    return ''
  }
}
