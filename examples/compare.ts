// The proof of `npm start`: databases, row by row.

import type { DataSource } from 'typeorm'
import { type Print, table } from './terminal.js'

/** Compares tables as each database has stored them, stamps aside, for those are its own. Gives back how many rows differ. */
export async function compare(names: readonly string[], databases: readonly [string, DataSource][], print: Print): Promise<number> {
  const rows: { cells: string[]; isEqual: boolean }[] = []
  for (const name of names) {
    const contents = await Promise.all(databases.map(([, dataSource]) => readRows(dataSource, name)))
    for (const id of [...new Set(contents.flatMap(content => [...content.keys()]))].sort()) {
      const texts = contents.map(content => content.get(id))
      const isEqual = texts.every(text => text === texts[0])
      const { name: called, user } = JSON.parse(texts.find(text => text !== undefined)!)
      const label = called ?? user
      rows.push({
        cells: [name, id.slice(0, 8), label, isEqual ? `equal in ${texts.length} databases` : differenceText(databases, texts)],
        isEqual,
      })
    }
  }
  table(
    print,
    rows.map(row => row.cells),
    r => (rows[r]?.isEqual ? undefined : 'red'),
  )
  return rows.filter(row => !row.isEqual).length
}

async function readRows(dataSource: DataSource, name: string): Promise<Map<string, string>> {
  const rows: Record<string, unknown>[] = await dataSource.query(`SELECT * FROM "${name}" ORDER BY id`)
  return new Map(rows.map(({ _lastChange, ...row }) => [String(row.id), JSON.stringify(row)]))
}

const differenceText = (databases: readonly [string, DataSource][], texts: readonly (string | undefined)[]) =>
  databases.map(([name], d) => `${name}: ${texts[d] ?? 'no such row'}`).join('  ')
