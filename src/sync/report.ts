// What a sync has done, told while it runs and when it ends.

export interface SyncReport {
  /** Rows that were stored as the server has them, removals included. */
  readonly pulled: number
  /** Rows and removals that the server has taken from us. */
  readonly pushed: number
  /** Rows in which changes of both sides were put together without a conflict. */
  readonly merged: number
  /** Conflicts that the handler was called with. */
  readonly conflicts: number
  /** Rows of the server's that wait here: for a decision, or for a row that they need. */
  readonly waiting: number
  /** Rows of ours that the server has refused. */
  readonly refused: number
  /** Properties of ours for which the server has no column yet: it has ignored their values, which are pushed when it has one. */
  readonly unknownThere: readonly string[]
  /** Properties that the server sent and for which there is no column here: they were passed over, and are read when there is one. */
  readonly unknownHere: readonly string[]
  /** How often it was read and told; more than one where others changed the same rows meanwhile. */
  readonly rounds: number
  readonly requests: number
  /** Bodies of answers and requests, in characters. */
  readonly bytes: { readonly received: number; readonly sent: number }
}

export type Phase = 'pull' | 'conflicts' | 'push'

export interface SyncProgress {
  readonly entity: string
  readonly url: string
  readonly phase: Phase
  /** What was done so far. */
  readonly report: SyncReport
}

export class ReportBuilder {
  pulled = 0
  pushed = 0
  merged = 0
  conflicts = 0
  waiting = 0
  refused = 0
  unknownThere: readonly string[] = []
  unknownHere: readonly string[] = []
  rounds = 0
  requests = 0
  received = 0
  sent = 0

  constructor(
    private readonly about: { readonly entity: string; readonly url: string },
    private readonly onProgress: (progress: SyncProgress) => void,
  ) {}

  tell(phase: Phase): void {
    this.onProgress({ ...this.about, phase, report: this.build() })
  }

  build(): SyncReport {
    const { pulled, pushed, merged, conflicts, waiting, refused, unknownThere, unknownHere, rounds, requests, received, sent } = this
    return { pulled, pushed, merged, conflicts, waiting, refused, unknownThere, unknownHere, rounds, requests, bytes: { received, sent } }
  }
}

/** The reports of two passes of the same sync as one: what is left is what the second one left. */
export function addLater(earlier: SyncReport, later: SyncReport): SyncReport {
  return { ...addReports([earlier, later]), waiting: later.waiting, refused: later.refused, unknownThere: later.unknownThere }
}

/** The reports of several servers or entities as one. */
export function addReports(reports: readonly SyncReport[]): SyncReport {
  const sum = (of: (report: SyncReport) => number) => reports.reduce((total, report) => total + of(report), 0)
  const all = (of: (report: SyncReport) => readonly string[]) => [...new Set(reports.flatMap(of))].sort()
  return {
    pulled: sum(r => r.pulled),
    pushed: sum(r => r.pushed),
    merged: sum(r => r.merged),
    conflicts: sum(r => r.conflicts),
    waiting: sum(r => r.waiting),
    refused: sum(r => r.refused),
    unknownThere: all(r => r.unknownThere),
    unknownHere: all(r => r.unknownHere),
    rounds: sum(r => r.rounds),
    requests: sum(r => r.requests),
    bytes: { received: sum(r => r.bytes.received), sent: sum(r => r.bytes.sent) },
  }
}
