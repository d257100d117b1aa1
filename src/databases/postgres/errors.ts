// What PostgreSQL and pg throw, and what it means for a transaction.

import { ConstraintError, type ConstraintKind, DatabaseFailedError, SyncError } from '../../errors.js'

type DatabaseError = Error & { code?: string; column?: string; detail?: string; routine?: string }

export const SAFE = 'Nothing was stored, nothing was lost'

/** The code that PostgreSQL, or the network, gave an error. */
export function codeOf(error: unknown): string {
  const constraint = error instanceof ConstraintError ? error.cause : error
  return String((constraint as DatabaseError | undefined)?.code ?? '')
}

// ---------------------------------------------------------------- what concerns a row

const KINDS: [code: RegExp, kind: ConstraintKind][] = [
  [/^23505/, 'unique'],
  [/^23503/, 'foreign-key'],
  [/^23502/, 'not-null'],
  // a value that the column cannot hold counts as a rule of its own: one bad row must not block the others
  [/^(22|23|44|40002)/, 'check'],
  // an index row that does not fit its page, a value that is nested too deep
  [/^(54000|54001)/, 'too-large'],
  [/^42501/, 'not-allowed'],
  [/^(P0|09|27|2F|38|39)/, 'rule'],
]

// The classes that PostgreSQL itself uses beside those; any other is the application's own, given in a RAISE.
const OWN = /^(0[0-38ABFLZ]|0P|2[01458BD]|34|3[BDF]|4[02]|5[34578]|72|F0|HV|XX)/

/** A rule that a statement broke. A statement that writes and fails for another reason is `unknown`: perhaps one of its rows is to blame. */
export function constraintError(error: unknown, sql = ''): ConstraintError | undefined {
  const code = codeOf(error)
  if (!(error instanceof Error) || error instanceof SyncError || !/^[0-9A-Z]{5}$/.test(code) || isWhole(error)) return
  const known = KINDS.find(([pattern]) => pattern.test(code))?.[1] ?? (OWN.test(code) ? undefined : 'rule')
  const kind = known ?? (/^\s*(INSERT|UPDATE|DELETE)/.test(sql) ? 'unknown' : undefined)
  const column = kind === 'unique' || kind === 'foreign-key' || kind === 'not-null' ? columnOf(error as DatabaseError) : undefined
  return kind && new ConstraintError(kind, column, { cause: error }, kind === 'unknown' && code.startsWith('42'))
}

/** It has nothing to do with the rows: the connection, the machine, or a privilege that is missing for the table as a whole. */
function isWhole(error: Error): boolean {
  const code = codeOf(error)
  if (code === '42501') return /^aclcheck/.test((error as DatabaseError).routine ?? '')
  return isTransient(error) || FAILURES.some(([pattern]) => pattern.test(code))
}

// «Key (code, name)=(…) already exists»: the words depend on the server's language, the brackets do not
function columnOf({ column, detail = '' }: DatabaseError): string | undefined {
  const first = column ?? /\((.+?)\)=\(/.exec(detail)?.[1]?.split(', ')[0]
  return first?.replace(/^"(.*)"$/, (_, name) => name.replaceAll('""', '"'))
}

// ---------------------------------------------------------------- what concerns a transaction

const LOST_CODES = /^(08...|57P01|57P02|57P03|25P03|25P04|E[A-Z_]+)$/
const LOST_MESSAGES = /Connection terminated|not queryable|Client was closed|timeout exceeded when trying to connect|Connection ended/

export function isConnectionLost(error: unknown): boolean {
  return error instanceof Error && (LOST_CODES.test(codeOf(error)) || LOST_MESSAGES.test(error.message))
}

export function isTransient(error: unknown): boolean {
  return !(error instanceof SyncError) && (['40P01', '40001', '55P03', '53300'].includes(codeOf(error)) || isConnectionLost(error))
}

const unreachable = (error: Error) =>
  new DatabaseFailedError(`The database cannot be reached: ${error.message}. ${SAFE}; sync again when it is back.`, { cause: error })

const FAILURES: [code: RegExp, what: string][] = [
  [/^25006/, 'The database is read-only'],
  [/^53100/, 'The disk is full'],
  [/^53/, 'The database is out of resources'],
  [/^57014/, 'A statement was cancelled, as by statement_timeout'],
  [/^28/, 'The database rejects the login'],
  [/^(42501)/, 'The database user lacks a privilege'],
  [/^(58|XX00[12])/, 'The files of the database cannot be read or written'],
]

/** What the engine or the application throws inside a transaction passes through; what the database throws gets a type and a sentence. */
export function failure(thrown: unknown): unknown {
  const error = thrown instanceof ConstraintError && thrown.kind === 'unknown' ? thrown.cause : thrown
  if (!(error instanceof Error) || error instanceof SyncError) return error
  if (isConnectionLost(error)) return unreachable(error)
  const [, what] = FAILURES.find(([code]) => code.test(codeOf(error))) ?? []
  return what
    ? new DatabaseFailedError(`${what}: ${error.message}. Nothing of this transaction was stored; mend it and sync again.`, {
        cause: error,
      })
    : error
}
