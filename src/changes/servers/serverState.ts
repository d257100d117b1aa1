// What a database remembers of one server and one collection: how far it has read there, and how far it has pushed.

import { type Database, first, query, type Row, type Transaction } from '../../databases/database.js'
import type { Place } from '../rows/place.js'

/** A push that is under way, or whose answer never came. */
export interface OpenPush {
  /** UNDECIDED where the server knows no keys and has not answered: whether it stored the push is shown by the next pull. */
  readonly key: string
  /** It has the local changes up to here. */
  readonly limit: Place
  /** What had been read from the server when it was made. */
  readonly since: number
}

export const UNDECIDED = ''

export interface ServerState {
  readonly id: number
  readonly collection: string
  readonly url: string
  /** Which server it is: two collections there have their foreign keys in common. */
  readonly origin: string
  /** The server's history id; null where it has none, as in 2011, or never answered. */
  serverHistory: string | null
  /** The name that it gave the user whose rows are here; null where it named none. */
  principal: string | null
  /**
   * Its name for the set of keys by which the user sees the rows that are here; empty where no whole set is held: an answer that brings another one is
   * being read. Null where the server never named one, and everybody sees everything.
   */
  scope: string | null
  /** The user sees a part of the rows of this collection, as its last full answer said: what is missing here may be there. */
  isPart: boolean
  /** Read up to: the server's stamp. */
  serverDate: number
  /** The highest stamp that the server ever sent. */
  highest: number
  /** The number of transactions in which its answers were stored: an answer that was asked for before one of them is outdated. */
  reads: number
  /** An answer of several pages is being read; `page` is the token of the next. */
  pulling: boolean
  page: string | null
  /** That answer is a full one and sweeps away what it lacks: that was removed, or, where the user sees a part of the rows, is not seen any more. */
  sweeping: 'removed' | 'left' | null
  /** Pushed up to: our own stamps. */
  pushedTo: Place
  push: OpenPush | null
  etag: string | null
  /** How this server writes dates, where it does not write them as ISO 8601. */
  dateForm: 'seconds' | 'milliseconds' | null
  /** Rows in a push, once it had to be made smaller. */
  batch: number | null
  /** Updates in a page, once it had to be made smaller. */
  pageSize: number | null
  /** Our stamps under which this server's rows were stored. */
  readonly stored: ReadonlySet<number>
}

/** As the column says it. */
const SWEEPING: readonly ServerState['sweeping'][] = [null, 'removed', 'left']

function serverFrom(row: Row, stored: ReadonlySet<number>): ServerState {
  const optional = (cell: unknown) => (cell === null || cell === undefined ? null : String(cell))
  return {
    id: Number(row.id),
    collection: String(row.collection),
    url: String(row.url),
    origin: String(row.origin),
    serverHistory: optional(row.server_history),
    principal: optional(row.principal),
    scope: optional(row.scope),
    isPart: Boolean(row.is_part),
    serverDate: Number(row.server_date),
    highest: Number(row.highest),
    reads: Number(row.reads),
    pulling: Boolean(row.pulling),
    page: optional(row.page),
    sweeping: SWEEPING[Number(row.sweeping)] ?? null,
    pushedTo: { stamp: Number(row.pushed_stamp), id: String(row.pushed_id) },
    push:
      row.push_key === null
        ? null
        : { key: String(row.push_key), limit: { stamp: Number(row.push_stamp), id: String(row.push_id) }, since: Number(row.push_since) },
    etag: optional(row.etag),
    dateForm: optional(row.date_form) as ServerState['dateForm'],
    batch: row.batch === null ? null : Number(row.batch),
    pageSize: row.page_size === null ? null : Number(row.page_size),
    stored,
  }
}

/** What `writeServers` writes down. */
const COLUMNS = [
  ...[
    'server_history',
    'principal',
    'scope',
    'is_part',
    'server_date',
    'highest',
    'reads',
    'pulling',
    'page',
    'sweeping',
    'pushed_stamp',
    'pushed_id',
  ],
  ...['push_key', 'push_stamp', 'push_id', 'push_since', 'etag', 'date_form', 'batch', 'page_size'],
]

// by their names: of a `*` sql.js decodes the names of the columns each time, which costs more than the rows
const REMOTE = ['id', 'collection', 'url', 'origin', ...COLUMNS].map(column => `o.${column}`).join(', ')

/** Reads what is known of a server; undefined where it was forgotten. */
export function* readServerState(id: number): Transaction<ServerState | undefined> {
  const row = yield* first(`SELECT ${REMOTE} FROM sync_server o WHERE o.id = ?`, id)
  if (!row) return
  const stamps = yield* query('SELECT stamp FROM sync_stamp WHERE server = ?', id)
  return serverFrom(row, new Set(stamps.map(s => Number(s.stamp))))
}

/** Reads what is known of a server, for all of its collections; nothing where it was forgotten. */
export function* readServer(id: number): Transaction<ServerState[]> {
  const rows = yield* query(`SELECT ${REMOTE} FROM sync_server r JOIN sync_server o ON o.origin = r.origin WHERE r.id = ?`, id)
  const stamps = new Map(rows.map(row => [Number(row.id), new Set<number>()]))
  const noted = yield* query(
    `SELECT m.server AS server, m.stamp AS stamp
       FROM sync_server r JOIN sync_server o ON o.origin = r.origin JOIN sync_stamp m ON m.server = o.id WHERE r.id = ?`,
    id,
  )
  for (const { server, stamp } of noted) stamps.get(Number(server))?.add(Number(stamp))
  return rows.map(row => serverFrom(row, stamps.get(Number(row.id)) as Set<number>))
}

/** Writes down the cursors, the open push and the rest, whole. */
export function writeServers(database: Database, servers: readonly ServerState[]): Transaction<void> {
  return database.updateRows(
    'sync_server',
    COLUMNS,
    ['id'],
    servers.map(({ push, pushedTo, ...server }) => [
      ...[server.serverHistory, server.principal, server.scope, server.isPart ? 1 : 0, server.serverDate, server.highest, server.reads],
      ...[server.pulling ? 1 : 0, server.page, SWEEPING.indexOf(server.sweeping), pushedTo.stamp, pushedTo.id],
      ...[push?.key ?? null, push?.limit.stamp ?? null, push?.limit.id ?? null, push?.since ?? null],
      ...[server.etag, server.dateForm, server.batch, server.pageSize, server.id],
    ]),
  )
}

/** Everything after which an answer to an older question does not count any more (law 3). */
export function cursorOf({ serverHistory, principal, scope, serverDate, page, highest, reads, pushedTo, push }: ServerState): string {
  return JSON.stringify([serverHistory, principal, scope, serverDate, page, highest, reads, pushedTo, push?.key])
}
