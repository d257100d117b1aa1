import { execFileSync } from 'node:child_process'
import { describe } from '@jest/globals'

const url = process.env.MYSQL_URL ?? 'mysql://root@127.0.0.1:3306/test'

// in a process of its own, since specs are declared before anything can be awaited
const probe = `
  require('mysql2').createConnection({ uri: ${JSON.stringify(url)}, connectTimeout: 2000 })
    .on('error', () => process.exit(1))
    .query('SELECT 1', error => process.exit(error ? 1 : 0))`

function isReachable(): boolean {
  try {
    execFileSync(process.execPath, ['-e', probe], { stdio: 'ignore', timeout: 10_000 })
    return true
  } catch {
    return false
  }
}

/** Where a MariaDB or MySQL answers: what MYSQL_URL says, or one on this machine. Undefined if none does. */
export const mysqlUrl: string | undefined = isReachable() ? url : undefined

if (mysqlUrl === undefined && process.env.MYSQL_URL) throw new Error(`There is no MariaDB or MySQL at ${url}, which MYSQL_URL names.`)

/** `describe` where there is such a server. */
export function describeMysql(name: string, body: () => void): void {
  if (mysqlUrl) describe(name, body)
  else describe.skip(`${name} (left out: no MariaDB or MySQL)`, body)
}
