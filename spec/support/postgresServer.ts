import { spawnSync } from 'node:child_process'

const candidate = process.env.POSTGRES_URL ?? 'postgres://postgres@127.0.0.1:5432/test'

// describe has to know it at once, so another process asks
const probe = `
  const { Client } = require('pg')
  const client = new Client({ connectionString: process.argv[1], connectionTimeoutMillis: 3000 })
  client.connect().then(() => client.end()).then(() => process.exit(0), () => process.exit(1))
`

function answers(url: string): boolean {
  return spawnSync(process.execPath, ['-e', probe, url], { timeout: 10_000 }).status === 0
}

/** A PostgreSQL server on which specs may create databases of their own; undefined if there is none. */
export const postgresUrl: string | undefined = answers(candidate) ? candidate : undefined

if (postgresUrl === undefined && process.env.POSTGRES_URL)
  throw new Error(`There is no PostgreSQL at ${candidate}, which POSTGRES_URL names.`)
if (postgresUrl === undefined) console.warn(`left out: no PostgreSQL at ${candidate}`)

/** The URL of another database on the same server. */
export function databaseUrl(name: string): string {
  const url = new URL(candidate)
  url.pathname = `/${name}`
  return url.href
}
