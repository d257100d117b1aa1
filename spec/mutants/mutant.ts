// What a mutant is.

export type Finder =
  | 'simulation'
  | `simulation ${'star' | 'relay' | 'two' | 'users' | 'users-relay' | 'users-two'}`
  | `spec/${string}.spec.ts`

export interface Mutant {
  readonly name: string
  /** The hazard or the law of docs/how-it-works.md, or the remedy of the model that it removes. */
  readonly hazard: string
  readonly file: string
  /** What stands there now, exactly once. */
  readonly find: string
  readonly replace: string
  /** Who has to notice, the cheapest first. */
  readonly by: readonly Finder[]
}
