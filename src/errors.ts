// A minifier renames classes: the name of an error is a text here.

/** What every error of typeorm-sync is: `code` names its kind for programs, `entity` the entity that it is about, the message says what to do. */
export class SyncError extends Error {
  override readonly name: string = 'SyncError'
  readonly code: string = 'sync'
  readonly entity?: string

  constructor(message: string, details: { entity?: string; cause?: unknown } = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    if (details.entity !== undefined) this.entity = details.entity
  }
}

// ---------------------------------------------------------------- set-up

/** The entity, its key, its relations or its url cannot be synced as they are. Thrown when sync is enabled or the data source is initialised. */
export class SyncConfigurationError extends SyncError {
  override readonly name = 'SyncConfigurationError'
  override readonly code = 'configuration'
}

/** The database lacks a column, table or trigger that sync needs, because no synchronize or migration has brought it yet. */
export class SyncSchemaError extends SyncError {
  override readonly name = 'SyncSchemaError'
  override readonly code = 'schema'
}

// ---------------------------------------------------------------- the local database

/** The application kept a transaction open, or another process the database locked, for longer than a transaction may wait. Nothing was done; try again. */
export class DatabaseBusyError extends SyncError {
  override readonly name = 'DatabaseBusyError'
  override readonly code = 'database-busy'
}

/** The database rejected to store: full, read-only, corrupt, closed. Nothing was stored by half. */
export class DatabaseFailedError extends SyncError {
  override readonly name = 'DatabaseFailedError'
  override readonly code = 'database-failed'
}

/** Another tab has taken the browser's database over, or it was removed. All that was written before is saved; this write was not made. Load the page anew. */
export class DatabaseTakenOverError extends SyncError {
  override readonly name = 'DatabaseTakenOverError'
  override readonly code = 'database-taken-over'
}

/**
 * What a row breaks: a constraint of its table; a rule of the application's own (`rule`: RAISE, SIGNAL, an ERRCODE of its own); a limit of the
 * database (`too-large`); row level security (`not-allowed`). `skipped`: the database did not write it and said nothing, as a trigger has it.
 * `unknown`: writing it failed, and nothing says whether the row is to blame.
 */
export type ConstraintKind =
  | 'unique'
  | 'foreign-key'
  | 'not-null'
  | 'check'
  | 'rule'
  | 'too-large'
  | 'not-allowed'
  | 'skipped'
  | 'cycle'
  | 'unknown'

const REJECTION_TEXTS: Partial<Record<ConstraintKind, string>> = {
  rule: 'a rule of the application forbids it',
  'too-large': 'it is larger than the database can hold there',
  'not-allowed': 'row level security does not allow it',
  skipped: 'a trigger, a rule or a policy of the application skipped it without an error',
  cycle: 'it would close a circle with a row that is to be resolved, or moved, first',
  unknown: 'it failed to store it',
}

/** What was to be stored breaks a rule of the local database; `column` names what it is about, where the database says so. Nothing was stored. */
export class ConstraintError extends SyncError {
  override readonly name = 'ConstraintError'
  override readonly code = 'constraint'
  constructor(
    readonly kind: ConstraintKind,
    readonly column: string | undefined,
    details: { cause?: unknown } = {},
    /** The statement names a table, column or function that is not there: no row is to blame. */
    readonly isSchemaMismatch = false,
  ) {
    const why = REJECTION_TEXTS[kind] ?? `a ${kind} constraint${column ? ` on ${column}` : ''} would be broken`
    super(`The database rejects it: ${why}.`, details)
  }

  /** The database's own class of the error (SQLSTATE, a name or number); its text may hold values, and stays in `cause`. */
  get state(): string | undefined {
    const { sqlState, code, errno } = (this.cause ?? {}) as { sqlState?: unknown; code?: unknown; errno?: unknown }
    const state = [sqlState, code, errno].find(s => s !== undefined && s !== 'HY000')
    return state !== undefined && /^[A-Z0-9_]{1,40}$/.test(String(state)) ? String(state) : undefined
  }
}

// ---------------------------------------------------------------- sync

/** The server's rows kept changing while the client pushed its own. All local changes are safe; sync again later. */
export class SyncContentionError extends SyncError {
  override readonly name = 'SyncContentionError'
  override readonly code = 'contention'
  constructor(
    entity: string,
    readonly rounds: number,
  ) {
    super(`${entity} kept changing on the server during ${rounds} rounds; all local changes are safe, sync again later`, { entity })
  }
}

/** The conflict handler threw, or did what a handler may not. The conflicts stay in the journal; the next sync brings them again. */
export class ConflictHandlerError extends SyncError {
  override readonly name = 'ConflictHandlerError'
  override readonly code = 'conflict-handler'
}

/**
 * The server at `url` knows the caller as another user than the one whose rows are here. Nothing was stored or pushed. Either sign in as that
 * user again, or `wipe` the device, or let the new user `adopt` the rows.
 */
export class OtherUserError extends SyncError {
  override readonly name = 'OtherUserError'
  override readonly code = 'other-user'
  constructor(readonly url: string) {
    super(
      `The rows here belong to another user of ${url} than the one who is signed in now. Nothing was stored or pushed. Call wipe(dataSource) to remove them from this device, or adopt(dataSource) to make them the new user's.`,
    )
  }
}

/** `wipe` or `adopt` would remove `count` rows, or changes of rows, that no server has. Nothing was removed. */
export class UnpushedChangesError extends SyncError {
  override readonly name = 'UnpushedChangesError'
  override readonly code = 'unpushed-changes'
  constructor(
    readonly count: number,
    caller: 'wipe' | 'adopt',
  ) {
    super(`${count} changed rows were not pushed yet, and would be lost. Sync first, or give ${caller} a function that confirms it.`)
  }
}

/** A conflict, rejected row or decision that was named does not exist (any more), or the row has moved on since. */
export class NotInJournalError extends SyncError {
  override readonly name = 'NotInJournalError'
  override readonly code = 'not-in-journal'
}

/**
 * A removal in the journal would remove rows as well that were changed here and that the server does not have like that, or, as a new row is
 * discarded, rows that the server has: `children`. Nothing was stored. Sync or move them first, or say `{ children: 'journal' }`.
 */
export class UnpushedChildrenError extends SyncError {
  override readonly name = 'UnpushedChildrenError'
  override readonly code = 'unpushed-children'
  constructor(
    message: string,
    readonly children: readonly { readonly entity: string; readonly id: string }[],
    details: { entity?: string } = {},
  ) {
    super(message, details)
  }
}

// ---------------------------------------------------------------- values

/** A value that its column cannot hold: `property` and `detail` say which and why, without repeating the value. Nothing was stored. */
export class ValueError extends SyncError {
  override readonly name = 'ValueError'
  override readonly code = 'value'
  constructor(
    entity: string,
    readonly property: string,
    readonly detail: string,
  ) {
    super(`${entity}.${property} cannot hold the value: it ${detail}`, { entity })
  }
}
