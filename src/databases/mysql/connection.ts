// One connection of the pool of mysql2, and statements as text: whatever the pool's options are, values go and come the same way.

import type { DataSource } from 'typeorm'
import type { Cell, Row } from '../statement.js'
import { encodeBase64 } from '../values/base64.js'
import { encodeHex } from '../values/hex.js'

/** What mysql2 hands out: TypeORM passes it on. */
export interface RawConnection {
  query(options: object, callback: (error: Error | null, rows: unknown) => void): void
  destroy(): void
}

export interface Connection {
  run(sql: string): Promise<Row[]>
  /** Gives it back to the pool, or ends it where its state is not known. */
  release(isBroken: boolean): Promise<void>
}

export async function connect(dataSource: DataSource): Promise<Connection> {
  const runner = dataSource.createQueryRunner('master')
  const raw: RawConnection = await runner.connect()
  return {
    run: sql =>
      new Promise((resolve, reject) => {
        const answered = (error: Error | null, rows: unknown) =>
          error ? reject(error) : resolve(Array.isArray(rows) ? (rows as Row[]) : [])
        raw.query({ sql, values: [], typeCast: cellOf, rowsAsArray: false, nestTables: false }, answered)
      }),
    async release(isBroken) {
      if (isBroken) raw.destroy()
      await runner.release()
    },
  }
}

interface Field {
  type: string
  extendedFormat?: string
  string(encoding?: string): string | null
  buffer(): Uint8Array | null
}

// Integers are numbers where they are safe, blobs are bytes, all else is text; never a Date.
function cellOf(field: Field, read: () => Cell): Cell {
  switch (field.type) {
    case 'TINY':
    case 'SHORT':
    case 'LONG':
    case 'INT24':
    case 'YEAR':
    case 'LONGLONG': {
      const text = field.string('ascii')
      return text === null ? null : Number.isSafeInteger(Number(text)) ? Number(text) : text
    }
    case 'FLOAT':
    case 'DOUBLE': {
      const text = field.string('ascii')
      return text === null ? null : Number(text)
    }
    case 'DECIMAL':
    case 'NEWDECIMAL':
    case 'DATE':
    case 'NEWDATE':
    case 'TIME':
    case 'TIME2':
    case 'DATETIME':
    case 'DATETIME2':
    case 'TIMESTAMP':
    case 'TIMESTAMP2':
      return field.string('ascii')
    case 'JSON':
      return field.string('utf8')
    case 'BIT':
    case 'GEOMETRY':
    case 'VECTOR':
      return field.buffer()
    default:
      // MariaDB names JSON so, and mysql2 would parse it
      return field.extendedFormat === 'json' ? field.string('utf8') : read()
  }
}

// ---------------------------------------------------------------- text

const CACHED = 500
const compiled = new Map<string, readonly string[]>()
const TOKEN = /'(?:[^'\\]|''|\\[\s\S])*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\/\*[\s\S]*?\*\/|--[^\n]*|\?/g

/** A statement as MySQL reads it, "names" in backticks, cut at its parameters. */
function compile(sql: string): readonly string[] {
  const known = compiled.get(sql)
  if (known) return known
  const parts: string[] = []
  let text = ''
  let end = 0
  for (const { 0: token, index } of sql.matchAll(TOKEN)) {
    text += sql.slice(end, index)
    end = index + token.length
    if (token === '?') {
      parts.push(text)
      text = ''
    } else text += token.startsWith('"') ? identifier(token.slice(1, -1).replaceAll('""', '"')) : token
  }
  parts.push(text + sql.slice(end))
  compiled.set(sql, parts)
  if (compiled.size > CACHED) compiled.delete(compiled.keys().next().value as string)
  return parts
}

/** The statement as MySQL reads it, parameters written in. */
export function textOf(sql: string, values: readonly unknown[]): string {
  const parts = compile(sql)
  if (parts.length > values.length + 1) throw new TypeError(`A statement lacks its parameter ${values.length + 1}: ${sql}`)
  return parts.map((part, i) => (i ? literal(values[i - 1]) : '') + part).join('')
}

export const identifier = (name: string) => `\`${name.replaceAll('`', '``')}\``

/** A value as it is written in a statement; a list as what is written between the parentheses of IN. */
export function literal(value: unknown): string {
  if (value === null || value === undefined) return 'NULL'
  if (typeof value === 'string') return `'${value.replace(/['\\]/g, '$&$&')}'`
  if (typeof value === 'boolean') return value ? '1' : '0'
  if (typeof value === 'bigint') return String(value)
  if (typeof value === 'number') {
    if (Number.isFinite(value)) return Object.is(value, -0) ? '-0e0' : String(value)
    throw new TypeError(`${value} is no value that a statement can hold.`)
  }
  if (Array.isArray(value)) return value.length ? value.map(literal).join(', ') : 'NULL'
  if (value instanceof ArrayBuffer) return binary(new Uint8Array(value))
  if (ArrayBuffer.isView(value)) return binary(new Uint8Array(value.buffer, value.byteOffset, value.byteLength))
  throw new TypeError(`A ${typeof value} is no value that a statement can hold.`)
}

// Two digits for each byte of a photo of 10 MB are more than max_allowed_packet allows; base64 makes a third more of it.
const binary = (bytes: Uint8Array) => (bytes.length < 10_000 ? `X'${encodeHex(bytes)}'` : `FROM_BASE64('${encodeBase64(bytes)}')`)
