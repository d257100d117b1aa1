// What has to hold in the end.

import type { DataSource } from 'typeorm'
import { hasLocalChanges, syncAll } from '../../src/entity/syncAll.js'
import type { Random } from '../simulation/random.js'
import type { Account } from './account.js'
import { watchingHandler } from './watch.js'

/** Syncs until nothing moves. `before`: what has to be waited for before each sync. */
export async function syncUntilQuiet(
  clients: readonly DataSource[],
  account: Account,
  random: Random,
  before = async () => {},
): Promise<void> {
  for (let i = 0; i < 12; i++) {
    let moved = false
    for (const each of clients) {
      await before()
      const { pulled, pushed, merged, conflicts, unapplied, rejected, heldBack } = await syncAll(
        each,
        watchingHandler(each, said => account.hear(said), random.chance),
      )
      moved ||= pulled + pushed + merged + conflicts + unapplied + rejected + heldBack > 0
    }
    if (!moved) return
  }
  account.problems.push('not quiet after 12 rounds')
}

export async function check(databases: readonly DataSource[], account: Account): Promise<void> {
  const problem = (text: string) => account.problems.push(text)
  const finals = new Map<string, Record<string, unknown>>()
  let expected: string | undefined
  for (const each of databases) {
    const name = nameOf(each)
    const rows: string[] = []
    for (const table of ['item', 'part']) {
      for (const { _lastChange, ...row } of await each.query(`SELECT * FROM ${table}`)) {
        // neither rows nor columns come in one order from every kind of database
        rows.push(JSON.stringify([table, row.id, Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1))]))
        finals.set(`${table} ${row.id}`, row)
      }
    }
    const found = rows.sort().join('\n')
    expected ??= found
    if (found !== expected) problem(`${name} differs from ${nameOf(databases[0] as DataSource)}: ${difference(found, expected)}`)
    if (await hasLocalChanges(each)) problem(`${name} has local changes left`)
    for (const { name: table } of await each.query(BOOKKEEPING[each.options.type] as string)) {
      const left = await each.query(`SELECT * FROM ${table}`)
      if (left.length) problem(`${name} has ${table} left: ${JSON.stringify(left).slice(0, 500)}`)
    }
    if (
      (
        await each.query(
          'SELECT p.id FROM part p LEFT JOIN item i ON i.id = p.' +
            each.driver.escape('itemId') +
            ' WHERE i.id IS NULL AND p.' +
            each.driver.escape('itemId') +
            ' IS NOT NULL',
        )
      ).length
    )
      problem(`${name} has orphans`)
    if (each.options.type === 'better-sqlite3') {
      if ((await each.query('PRAGMA integrity_check'))[0].integrity_check !== 'ok') problem(`${name} is corrupt`)
      if ((await each.query('SELECT 1 FROM sync_clock WHERE bypass IS NOT NULL')).length) problem(`${name} has a bypass of capture open`)
    }
  }
  account.seeRemovals()
  for (const { row, property, token } of account.ledger.lost(finals))
    problem(`lost ${token}, ${property ?? 'the removal'} of ${row}: ${JSON.stringify(finals.get(row))}`)
}

const nameOf = ({ options }: DataSource) => String(options.database ?? (options as { url?: string }).url)

function difference(found: string, expected: string): string {
  const [here, there] = [found, expected].map(text => new Set(text.split('\n'))) as [Set<string>, Set<string>]
  const only = (a: Set<string>, b: Set<string>) => [...a].filter(row => !b.has(row)).slice(0, 3)
  return `only here ${only(here, there)}, only there ${only(there, here)}`
}

const NAMES = "IN ('sync_unapplied', 'sync_rejection', 'sync_seen')"
const inSchema = (schema: string) =>
  `SELECT table_name AS name FROM information_schema.tables WHERE table_schema = ${schema} AND (table_name LIKE 'sync_base%' OR table_name ${NAMES})`
const BOOKKEEPING: Partial<Record<string, string>> = {
  'better-sqlite3': `SELECT name FROM sqlite_master WHERE type = 'table' AND (name LIKE 'sync_base%' OR name ${NAMES})`,
  postgres: inSchema('current_schema()'),
  mysql: inSchema('DATABASE()'),
}
