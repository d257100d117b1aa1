// What the panels of an inspector work with.

import type { DataSource, ObjectLiteral } from 'typeorm'
import type { KeptSynced, SyncJournal } from '../src/index.js'
import type { Question } from './ask.js'

export type Tone = 'good' | 'bad'

export interface Context {
  readonly dataSource: DataSource
  readonly kept: KeptSynced | undefined
  readonly isReadOnly: boolean
  /** The names of the entities that sync. */
  readonly entities: readonly string[]
  /** Rows are named with their server where there are several. */
  readonly hasSeveralServers: boolean
  journalOf(entity: string): SyncJournal<ObjectLiteral>
  /** Has a sentence read to those who do not see what it says. */
  announce(sentence: string): void
  /** Shows a sentence, and has it read as well. */
  say(sentence: string, tone?: Tone): void
  ask(question: Question): Promise<string | undefined>
  /** Does what a button says: what it gives is said, what it throws is shown, and then all is read again. */
  act(work: () => Promise<string | undefined>): Promise<void>
  refresh(): void
}

/** A page of the inspector. */
export interface Panel {
  readonly name: string
  readonly title: string
  readonly node: HTMLElement
  /** Reads again, and shows what it finds. */
  read(context: Context): Promise<void>
}
