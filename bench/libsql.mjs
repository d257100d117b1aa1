// libsql as far as the harness's rows use better-sqlite3; hand:json-* give run() bare bytes, which libsql does not bear.

import Database from 'libsql'

export default class extends Database {
  prepare(sql) {
    const statement = super.prepare(sql)
    const { get } = statement
    // libsql plucks in all(), but not in get()
    statement.get = (...args) => {
      const row = get.apply(statement, args)
      return row && statement.pluckMode ? Object.values(row)[0] : row
    }
    return statement
  }
}
