// What the processes say to each other.

export const COLLECTIONS = ['items', 'parts'] as const
export type CollectionName = (typeof COLLECTIONS)[number]

/** A version of a row that is committed; `version` null: it was removed. */
export interface Written {
  readonly collection: CollectionName
  readonly id: string
  readonly version: number | null
  readonly text?: string
}

export type Said =
  | { readonly said: 'ready'; readonly port?: number }
  /** A transaction has ended, and its writer knows. `held`: milliseconds that it was kept open on purpose. */
  | {
      readonly said: 'transaction'
      readonly by: string
      readonly committed: boolean
      readonly held: number
      readonly retries: number
      readonly written: readonly Written[]
    }
  /** A write that was rejected, for a reason that belongs to the trial. */
  | { readonly said: 'rejected'; readonly why: string }
  | { readonly said: 'problem'; readonly text: string }

export const say = (said: Said) => process.send?.(said)

export const wait = (milliseconds: number) => new Promise<void>(resolve => setTimeout(resolve, milliseconds))

/** How long a transaction is held open: from 0.05 to 3 seconds, mostly short. */
export const holdOf = (random: number) => Math.round(50 * 60 ** (random ** 3))
