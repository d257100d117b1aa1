// The tables of the change log on MySQL and MariaDB. Texts compare bytewise; no key is wider than 3,072 bytes, with four for each character.

import { makeTables } from '../ownTables.js'

/** What ends the definition of a table of ours. */
export const TABLE_OPTIONS = 'ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin'
export const ID_TYPE = 'VARCHAR(512)'

/** SQL that makes each table, by its name. */
export const TABLES = makeTables({
  types: {
    serial: 'BIGINT AUTO_INCREMENT PRIMARY KEY',
    integer: 'BIGINT',
    flag: 'INTEGER',
    name: 'VARCHAR(64)',
    id: ID_TYPE,
    property: 'VARCHAR(250)',
    text: 'LONGTEXT',
  },
  ending: () => ` ${TABLE_OPTIONS}`,
  hasIndexesInside: true,
})
