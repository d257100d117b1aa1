// What MySQL, MariaDB and mysql2 throw, and what it means for a transaction.

import { ConstraintError, type ConstraintKind, DatabaseFailedError, SyncError } from '../../errors.js'
import { closed } from '../retry.js'

const numberOf = (error: unknown) => (error instanceof Error ? Number((error as { errno?: unknown }).errno) || 0 : 0)
const codeOf = (error: unknown) => (error instanceof Error ? String((error as { code?: unknown }).code ?? '') : '')
const stateOf = (error: unknown) => (error instanceof Error ? String((error as { sqlState?: unknown }).sqlState ?? '') : '')

/** Deadlock, lock wait timeout, too many connections, a statement that was ended: over in a moment. */
const BUSY = new Set([1213, 1205, 1040, 1203, 1226, 1317, 3572, 4031])
const BROKEN = new Set([1053, 1158, 1159, 1160, 1161, 1927, 2002, 2003, 2006, 2013, 3169])
const BROKEN_CODES =
  /^(PROTOCOL_(CONNECTION_LOST|ENQUEUE_AFTER_\w+|SEQUENCE_TIMEOUT|PACKETS_OUT_OF_ORDER)|ECONN\w+|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN)$/

export const isBusy = (error: unknown): boolean => BUSY.has(numberOf(error))

/** The connection is gone, or there is none. */
export const isBroken = (error: unknown): boolean =>
  BROKEN.has(numberOf(error)) ||
  BROKEN_CODES.test(codeOf(error)) ||
  (error instanceof Error && (error as { fatal?: unknown }).fatal === true && !isBusy(error)) ||
  (error instanceof Error && /connection is in closed state|Connection lost/i.test(error.message))

/** After this nothing of the transaction counts any more: a deadlock has rolled back all of it, a timeout its last statement only. */
export const endsTransaction = (error: unknown) => isBusy(error) || isBroken(error)

export const isClosed = (error: unknown) => error instanceof Error && /pool is closed|driver not connected/i.test(error.message)

/** A rule that a statement broke. `index` is to be looked up: the message names no column. */
export interface BrokenRule {
  readonly kind: ConstraintKind
  readonly column: string | undefined
  readonly index?: string
}

// The classes of SQLSTATE that the database itself uses; any other is the application's own, given in a SIGNAL.
const OWN = /^(0[0-38AKZ]|2[0-8BDF]|3[3-57-9BCDF]|4[0-4]|70|HW|HY|HZ|XA|$)/

/** It has nothing to do with the rows. */
const isWhole = (error: unknown) =>
  error instanceof SyncError || endsTransaction(error) || isClosed(error) || SENTENCES[numberOf(error)] !== undefined || !numberOf(error)

/**
 * A rule that a statement broke. What a column cannot hold counts as a rule of its own: one bad row must not block the others. A statement that
 * writes and fails for another reason is `unknown`: perhaps one of its rows is to blame.
 */
export function brokenRule(error: unknown, sql: string): BrokenRule | undefined {
  const rule = knownRule(error)
  if (rule || isWhole(error)) return rule
  const state = stateOf(error)
  if (!OWN.test(state)) return { kind: 'rule', column: undefined }
  if (/^(22|23|44)/.test(state)) return { kind: 'check', column: undefined }
  return /^\s*(INSERT|UPDATE|DELETE)/.test(sql) ? { kind: 'unknown', column: undefined } : undefined
}

function knownRule(error: unknown): BrokenRule | undefined {
  const message = error instanceof Error ? error.message : ''
  const found = (pattern: RegExp) => pattern.exec(message)?.[1]
  switch (numberOf(error)) {
    case 1062:
    case 1586: {
      const index = found(/for key '(.*)'$/s)
      return { kind: 'unique', column: undefined, ...(index !== undefined && { index }) }
    }
    case 1216:
    case 1452:
      return { kind: 'foreign-key', column: found(/FOREIGN KEY \(`([^`]+)`\)/) }
    case 1217:
    case 1451:
      return { kind: 'foreign-key', column: undefined }
    case 1048:
    case 1364:
      return { kind: 'not-null', column: found(/^(?:Column|Field) '(.*?)'/) }
    case 3819:
    case 4025:
      return { kind: 'check', column: undefined }
    case 1644: // SIGNAL
      return { kind: 'rule', column: undefined }
    case 1118: // a row that does not fit its page
    case 1301:
      return { kind: 'too-large', column: undefined }
    case 1264:
    case 1265:
    case 1292:
    case 1366:
    case 1406:
    case 3140:
      return { kind: 'check', column: found(/for column '?(?:`[^`]+`\.)*`?([^`']+)`?'?/) }
  }
  return
}

// no such column, table or routine; another number of columns
const MISMATCHES = new Set([1054, 1136, 1146, 1305])

export const constraintError = ({ kind, column }: BrokenRule, cause: unknown) =>
  new ConstraintError(kind, column, { cause }, MISMATCHES.has(numberOf(cause)))

const SENTENCES: Record<number, string> = {
  1114: 'A table is full',
  1021: 'The disk is full',
  1030: 'The storage engine failed',
  1290: 'The server is read-only',
  1792: 'The transaction is read-only',
  1836: 'The server is read-only',
  1044: 'The user may not use the database',
  1045: 'The server rejects the login',
  1142: 'The user lacks a privilege (besides those for rows: CREATE, ALTER, INDEX, DROP, REFERENCES and TRIGGER)',
  1143: 'The user lacks a privilege',
  1227: 'The user lacks a privilege',
  1419: 'The user may not create triggers while binary logging is on; set log_bin_trust_function_creators = 1 on the server, or give the user SUPER',
  1665: 'The server logs statements only; set binlog_format to ROW or MIXED',
}

/** What the engine or the application throws inside a transaction passes through; what the database throws gets a type and a sentence. */
export function failure(thrown: unknown): unknown {
  const error = thrown instanceof ConstraintError && thrown.kind === 'unknown' ? thrown.cause : thrown
  if (!(error instanceof Error) || error instanceof SyncError) return error
  const what = SENTENCES[numberOf(error)]
  if (isClosed(error)) return closed(error)
  if (isBroken(error))
    return new DatabaseFailedError(
      `The database cannot be reached: ${error.message}. Nothing of this transaction was stored; sync again.`,
      {
        cause: error,
      },
    )
  return what
    ? new DatabaseFailedError(`${what}: ${error.message}. Nothing of this transaction was stored; mend it and sync again.`, {
        cause: error,
      })
    : error
}
