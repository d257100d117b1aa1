// The tables of the change log on SQLite.

import { makeTables, OWN_TABLES } from '../ownTables.js'

const tables = {
  ...OWN_TABLES,
  sync_clock: {
    ...OWN_TABLES.sync_clock,
    columns: {
      ...OWN_TABLES.sync_clock.columns,
      bypass: 'integer null', // set inside a transaction of the engine: triggers do nothing
      stamping: 'text null', // the key of the row that a trigger is stamping
    },
  },
  // rows that an OR REPLACE may remove
  sync_replaced: { columns: { collection: 'name', id: 'id' }, key: ['collection', 'id'] },
} as const

export const TABLES = makeTables(
  {
    types: {
      serial: 'INTEGER PRIMARY KEY AUTOINCREMENT',
      integer: 'INTEGER',
      flag: 'INTEGER',
      name: 'TEXT',
      id: 'TEXT',
      property: 'TEXT',
      text: 'TEXT',
    },
    ending: ({ key = [] }) => (key.length > 1 ? ' WITHOUT ROWID' : ''),
  },
  tables,
)
