// The tables of the change log on PostgreSQL.

import { makeTables } from '../ownTables.js'

/** By name: what is there already needs no right to create, and no lock. */
export const TABLES = makeTables({
  types: {
    serial: 'BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY',
    integer: 'BIGINT',
    flag: 'SMALLINT',
    name: 'TEXT COLLATE "C"',
    id: 'TEXT COLLATE "C"',
    property: 'TEXT COLLATE "C"',
    text: 'TEXT',
  },
  ending: () => '',
})
