// What a sync has done, reported while it runs and when it ends.

/** Of one entity. */
export interface EntityReport {
  /** Rows that were stored as the server has them, removals included. */
  readonly pulled: number
  /** Rows and removals that the server has accepted from us. */
  readonly pushed: number
  /** Rows in which changes of both sides were put together without a conflict. */
  readonly merged: number
  /** Conflicts that the handler was called with. */
  readonly conflicts: number
  /** Rows of the server that are not applied here: conflicts, and deferred rows. */
  readonly unapplied: number
  /** Rows of ours that the server has rejected, or that were changed here and are not seen any more. */
  readonly rejected: number
  /** Rows of ours that are pushed later, for others have to be pushed or decided first. */
  readonly heldBack: number
}

export interface SyncReport extends EntityReport {
  /** The same figures by entity, of those that have any. */
  readonly entities: Readonly<Record<string, EntityReport>>
  /** The entities of which the sync has changed rows here, whatever was the reason: pulled, merged, decided, or taken along by others. */
  readonly changed: readonly string[]
  /** Properties of ours for which the server has no column yet: it has ignored their values, which are pushed when it has one. */
  readonly unknownThere: readonly string[]
  /** Properties that the server sent and for which there is no column here: they were passed over, and are read when there is one. */
  readonly unknownHere: readonly string[]
  /** How often it pulled and pushed; more than one where others changed the same rows meanwhile. */
  readonly rounds: number
  readonly requests: number
  /** Bodies of answers and requests, in characters. */
  readonly bytes: { readonly received: number; readonly sent: number }
}

export type Phase = 'pull' | 'conflicts' | 'push'

export interface SyncProgress {
  /** The entities that are synced together. */
  readonly entities: readonly string[]
  /** Where: the url of the feed, or of the entity. */
  readonly url: string
  readonly phase: Phase
  /** What was done so far. */
  readonly report: SyncReport
}

const FIGURES = ['pulled', 'pushed', 'merged', 'conflicts', 'unapplied', 'rejected', 'heldBack'] as const

type Figures = { -readonly [F in keyof EntityReport]: EntityReport[F] }

const NONE: EntityReport = { pulled: 0, pushed: 0, merged: 0, conflicts: 0, unapplied: 0, rejected: 0, heldBack: 0 }

export class ReportBuilder {
  unknownThere: readonly string[] = []
  unknownHere: readonly string[] = []
  rounds = 0
  requests = 0
  received = 0
  sent = 0
  readonly #entities = new Map<string, Figures>()

  constructor(
    private readonly about: { readonly entities: readonly string[]; readonly url: string },
    private readonly onProgress: (progress: SyncProgress) => void,
    /** Those in which rows are stored. */
    private readonly changed: Iterable<{ readonly entity: string }> = [],
  ) {}

  /** The figures of an entity, to be counted up. */
  of({ entity }: { readonly entity: string }): Figures {
    const figures = this.#entities.get(entity) ?? { ...NONE }
    this.#entities.set(entity, figures)
    return figures
  }

  /** Counts rows of the server that were applied. */
  add(entity: { readonly entity: string }, { stored, merged }: { readonly stored: number; readonly merged: number }): void {
    const figures = this.of(entity)
    figures.pulled += stored
    figures.merged += merged
  }

  /** Rows that the server has accepted so far. */
  get pushed(): number {
    return this.build().pushed
  }

  emit(phase: Phase): void {
    this.onProgress({ ...this.about, phase, report: this.build() })
  }

  build(): SyncReport {
    const { unknownThere, unknownHere, rounds, requests, received, sent } = this
    const entities = [...this.#entities]
      .filter(([, figures]) => FIGURES.some(f => figures[f]))
      .map(([name, f]) => [name, { ...f }] as const)
    const stored = entities.filter(([, f]) => f.pulled || f.merged).map(([name]) => name)
    const changed = sorted([...stored, ...[...this.changed].map(({ entity }) => entity)])
    return { ...withSums(Object.fromEntries(entities)), changed, unknownThere, unknownHere, rounds, requests, bytes: { received, sent } }
  }
}

const sorted = (names: readonly string[]) => [...new Set(names)].sort()

function withSums(entities: Record<string, EntityReport>): EntityReport & Pick<SyncReport, 'entities'> {
  const sums: Figures = { ...NONE }
  for (const figures of Object.values(entities)) for (const f of FIGURES) sums[f] += figures[f]
  return { ...sums, entities }
}

/** The reports of two passes of the same sync as one: what is left is what the second one left. */
export function addLater(earlier: SyncReport, later: SyncReport): SyncReport {
  const done = Object.entries(earlier.entities).map(
    ([name, figures]) => [name, { ...figures, unapplied: 0, rejected: 0, heldBack: 0 }] as const,
  )
  const before = { ...earlier, unknownThere: [], entities: Object.fromEntries(done) }
  return addReports([before, later])
}

/** The reports of several servers or entities as one. */
export function addReports(reports: readonly SyncReport[]): SyncReport {
  const sum = (of: (report: SyncReport) => number) => reports.reduce((total, report) => total + of(report), 0)
  const all = (of: (report: SyncReport) => readonly string[]) => sorted(reports.flatMap(of))
  const entities: Record<string, Figures> = {}
  for (const report of reports) {
    for (const [name, figures] of Object.entries(report.entities)) {
      const total = entities[name] ?? { ...NONE }
      entities[name] = total
      for (const f of FIGURES) total[f] += figures[f]
    }
  }
  return {
    ...withSums(entities),
    changed: all(r => r.changed),
    unknownThere: all(r => r.unknownThere),
    unknownHere: all(r => r.unknownHere),
    rounds: sum(r => r.rounds),
    requests: sum(r => r.requests),
    bytes: { received: sum(r => r.bytes.received), sent: sum(r => r.bytes.sent) },
  }
}
