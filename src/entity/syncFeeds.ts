// Syncs with feeds, one after the other; calls at the same time share a run.

import type { ChangeLog } from '../changes/changeLog.js'
import type { Collection } from '../changes/collections/collection.js'
import type { ConflictHandler } from '../sync/conflicts/handlers.js'
import { addLater, addReports, type SyncReport } from '../sync/report.js'
import { SingleFlight } from '../sync/singleFlight.js'
import { Failures } from './failures.js'
import type { Feed } from './feeds.js'
import { clients, type SyncCallOptions } from './options.js'
import { type CallOptions, run } from './run.js'

/** Whose conflicts a handler decides: those of one collection, or of all. */
export interface Handling {
  readonly collection: Collection | undefined
  readonly handler: ConflictHandler | undefined
}

/** Syncs with feeds, one after the other. */
export async function syncFeeds(
  log: ChangeLog,
  feeds: readonly Feed[],
  { collection, handler }: Handling,
  { signal, url: _, ...call }: SyncCallOptions,
): Promise<SyncReport> {
  const failures = new Failures()
  const options: CallOptions = {
    handlers: new Map(collection && handler ? [[collection, handler]] : []),
    handler: collection ? undefined : handler,
    options: { ...clients.get(log.dataSource), ...call },
  }
  const reports = new Map<Feed, SyncReport>()
  // What a later server sent is a local change for those before it; two versions that chase each other around the servers come to rest this way.
  for (let more = 3, isLocalChange = true; more && isLocalChange && failures.isEmpty; more--) {
    isLocalChange = false
    for (const [i, feed] of feeds.entries()) {
      if (failures.isAway(feed.url)) continue
      try {
        const report = await flightOf(log, feed).call(options, signal)
        const before = reports.get(feed)
        reports.set(feed, before ? addLater(before, report) : report)
        const isShared = feeds.slice(0, i).some(other => other.members.some(m => feed.members.some(n => n.collection === m.collection)))
        if (isShared && (report.pulled || report.merged)) isLocalChange = true
      } catch (error) {
        failures.note(error, feed.url)
      }
    }
  }
  failures.throwFirst()
  return addReports([...reports.values()])
}

/** Resolves when nothing runs any more that aborted calls have begun. */
export async function whenLeft(log: ChangeLog): Promise<void> {
  for (const flight of running.get(log)?.values() ?? []) await flight.whenLeft()
}

const running = new WeakMap<ChangeLog, Map<string, SingleFlight<SyncReport, CallOptions>>>()

function flightOf(log: ChangeLog, feed: Feed): SingleFlight<SyncReport, CallOptions> {
  const joined = running.get(log) ?? new Map<string, SingleFlight<SyncReport, CallOptions>>()
  running.set(log, joined)
  const key = feed.members.map(m => `${m.collection.name} ${m.url}`).join('\n')
  const one =
    joined.get(key) ??
    new SingleFlight(
      (ended: AbortSignal, options: CallOptions) => run(log, feed, ended, options),
      // a caller without a handler does not replace another's
      (earlier, later) => ({
        ...later,
        handlers: new Map([...earlier.handlers, ...later.handlers]),
        handler: later.handler ?? earlier.handler,
      }),
    )
  joined.set(key, one)
  return one
}
