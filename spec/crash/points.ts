// The moments of a scenario at which something can go wrong, counted in the order in which they come.

/** The process is gone, the database reports an error, or the connection to it breaks. */
export type Fault = 'gone' | 'error' | 'cut'
export type Phase = 'before' | 'after'

export interface Moment {
  readonly process: string
  /** `sql` is a statement of the application's or of TypeORM's, `statement` one of our transactions. */
  readonly kind: 'statement' | 'sql' | 'transaction' | 'request' | 'serve' | 'handler' | 'save'
  readonly label: string
  /** Its database is behind a connection, which can break. */
  readonly isRemote: boolean
}

export interface Point {
  readonly index: number
  readonly phase: Phase
  readonly fault: Fault
}

/** Whose process is gone does nothing any more: what it still tries throws this, or never comes back. */
export class Gone extends Error {}

/** What is possible at a moment. The beginning of a transaction throws nothing by itself, nor does a server that begins to answer. */
const POSSIBLE: Record<Moment['kind'], readonly (readonly [Phase, Fault])[]> = {
  statement: [['before', 'gone'], ['before', 'error'], ['after', 'gone'], ['after', 'error']], // biome-ignore format: a table
  sql: [['before', 'gone'], ['before', 'error']], // biome-ignore format: a table
  transaction: [['before', 'gone']],
  request: [['before', 'gone'], ['before', 'error'], ['after', 'gone'], ['after', 'error']], // biome-ignore format: a table
  serve: [['before', 'gone'], ['after', 'gone']], // biome-ignore format: a table
  handler: [['before', 'gone'], ['before', 'error'], ['after', 'gone'], ['after', 'error']], // biome-ignore format: a table
  save: [['before', 'gone'], ['before', 'error'], ['after', 'gone'], ['after', 'error']], // biome-ignore format: a table
}

/** Behind a connection, where the answer to a commit may be lost, but says nothing else than that it was done. */
const POSSIBLE_REMOTELY: Partial<typeof POSSIBLE> = {
  statement: [['before', 'gone'], ['before', 'error'], ['before', 'cut'], ['after', 'gone'], ['after', 'cut']], // biome-ignore format: a table
  sql: [['before', 'gone'], ['before', 'error'], ['before', 'cut']], // biome-ignore format: a table
}

const possibleAt = ({ isRemote, kind }: Moment) => (isRemote && POSSIBLE_REMOTELY[kind]) || POSSIBLE[kind]

interface Striking {
  readonly name: string
  readonly isRemote: boolean
  /** Throws Gone. */
  die(): never
  /** The error that the moment's kind throws. */
  fail(moment: Moment, index: number, fault: Fault): never
}

export class Points {
  readonly moments: Moment[] = []
  isCounting = false
  /** Where it went wrong in this run. */
  struck: Moment | undefined
  #target: Point | undefined
  #failed = new Set<number>()

  begin(target?: Point): void {
    this.moments.length = 0
    this.#failed.clear()
    this.struck = undefined
    this.#target = target
    this.isCounting = true
  }

  /** Reaches a moment; what goes wrong there is thrown. Gives its number, for `after`. */
  before(process: Striking, kind: Moment['kind'], label: string): number | undefined {
    if (!this.isCounting) return
    const index = this.moments.push({ process: process.name, kind, label, isRemote: process.isRemote }) - 1
    this.#strike(process, index, 'before')
    return index
  }

  after(process: Striking, index: number | undefined): void {
    if (index !== undefined && this.isCounting) this.#strike(process, index, 'after')
  }

  #strike(process: Striking, index: number, phase: Phase): void {
    if (this.#target?.index !== index || this.#target.phase !== phase) return
    const moment = this.moments[index] as Moment
    this.struck = moment
    const { fault } = this.#target
    // stamps may fall into one millisecond or two, so that now and then a run has a statement more than the dry run had
    if (phase === 'after' && moment.label.startsWith('BEGIN')) return
    if (!possibleAt(moment).some(each => each[0] === phase && each[1] === fault)) return
    if (fault === 'gone') process.die()
    process.fail(moment, index, fault)
  }

  /** What fails by itself, as a statement does that breaks a constraint, has no moment after it. */
  noteFailed(index: number | undefined): void {
    if (index !== undefined && this.isCounting) this.#failed.add(index)
  }

  /** Every point of the moments that a dry run has counted. */
  all(): Point[] {
    return this.moments.flatMap((moment, index) =>
      possibleAt(moment)
        // after a statement is before the next one, save where it ends something
        .filter(
          ([phase]) =>
            phase === 'before' ||
            (!this.#failed.has(index) && (moment.kind !== 'statement' || /^(COMMIT|RELEASE|ROLLBACK)/.test(moment.label))),
        )
        .map(([phase, fault]) => ({ index, phase, fault })),
    )
  }
}
