// What SQLite throws, and what it means for a transaction. sql.js gives texts alone, the others codes as well.

import { ConstraintError, type ConstraintKind, DatabaseFailedError, SyncError } from '../../errors.js'

const codeOf = (error: unknown) => (error instanceof Error ? String((error as { code?: unknown }).code ?? '') : '')
const messageOf = (error: unknown) => (error instanceof Error ? error.message : '')

export function isBusy(error: unknown): boolean {
  return /^SQLITE_(BUSY|LOCKED)/.test(codeOf(error)) || /(within|inside) a transaction|database (table )?is locked/.test(messageOf(error))
}

/** What ends a transaction whatever its rows are: the machine, or the file. */
const FAILURES: [what: string, pattern: RegExp][] = [
  ['The disk is full', /SQLITE_FULL|disk is full/],
  ['The database is read-only', /SQLITE_READONLY|readonly/],
  [
    'The database file cannot be read or written',
    /SQLITE_(IOERR|CORRUPT|NOTADB|CANTOPEN)|disk image is malformed|disk I\/O|not a database/,
  ],
  ['There is not enough memory', /SQLITE_NOMEM|out of memory|memory access out of bounds/],
  ['A statement was interrupted', /SQLITE_INTERRUPT|^interrupted$/],
]

const failureOf = (error: unknown) => FAILURES.find(([, pattern]) => pattern.test(`${codeOf(error)} ${messageOf(error)}`))?.[0]

const KINDS: [pattern: RegExp, kind: ConstraintKind][] = [
  [/UNIQUE constraint failed/, 'unique'],
  [/NOT NULL constraint failed/, 'not-null'],
  [/FOREIGN KEY constraint failed/, 'foreign-key'],
  [/CHECK constraint failed|datatype mismatch|^cannot store \w+ value in/, 'check'],
  [/SQLITE_CONSTRAINT_TRIGGER/, 'rule'],
  [/SQLITE_TOOBIG|string or blob too big/, 'too-large'],
]

// The beginnings of what SQLite itself says of a statement; any other text was written into a RAISE.
const OWN =
  /^(no (such|query)|near |table |trigger |view |index |unrecognized|incomplete|ambiguous|wrong number|misuse|parser|too many|circular|unsupported|unable|cannot|can't|foreign key mismatch|database |attempt to write|authoriz|access|not authorized|unknown|SQL logic|bad |malformed|integer overflow|abs\(|abort|callback|large file|not an error|column |row value|locking|constraint failed|unsafe|hex literal|LIKE or GLOB|ESCAPE|JSON|json|stack|recurs|sub-select|default value|expected|library|the |zeroblob|second argument|argument|user-defined|Wrong API|Statement|Database|Nothing|Tried)/

const MISMATCH = /no such (table|column|function|module)|has no column named/

/** A rule that a statement broke. A statement that writes and fails for another reason is `unknown`: perhaps one of its rows is to blame. */
export function constraintError(error: unknown, sql: string): ConstraintError | undefined {
  if (!(error instanceof Error) || error instanceof SyncError || isBusy(error) || failureOf(error)) return
  const [, kind] = KINDS.find(([pattern]) => pattern.test(`${codeOf(error)} ${error.message}`)) ??
    KINDS.find(([pattern]) => pattern.test(error.message)) ?? [undefined, kindOfWrite(error, sql)]
  if (!kind) return
  const column = kind === 'unique' || kind === 'not-null' ? /constraint failed: (.*)/.exec(error.message)?.[1] : undefined
  return new ConstraintError(kind, column?.split(',')[0]?.trim().split('.').at(-1), { cause: error }, MISMATCH.test(error.message))
}

function kindOfWrite(error: Error, sql: string): ConstraintKind | undefined {
  if (!/^\s*(INSERT|UPDATE|DELETE)/.test(sql)) return
  // what the driver itself has to say is a TypeError or a RangeError
  return error.constructor === Error && codeOf(error) === '' && !OWN.test(error.message) ? 'rule' : 'unknown'
}

/** What the engine or the application throws inside a transaction passes through; what the database throws gets a type and a sentence. */
export function failure(thrown: unknown): unknown {
  const error = thrown instanceof ConstraintError && thrown.kind === 'unknown' ? thrown.cause : thrown
  if (!(error instanceof Error) || error instanceof SyncError) return error
  const what = failureOf(error)
  return what
    ? new DatabaseFailedError(`${what}: ${error.message}. Nothing of this transaction was stored; mend it and sync again.`, {
        cause: error,
      })
    : error
}
