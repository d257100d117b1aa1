// Which values a column could hold, by its type.

import type { ColumnCodec } from '../../databases/columns.js'
import type { Json } from '../../protocol/messages.js'
import { DAY, dates, decimals, LETTERS, numbers, randomly, randomText, texts } from './makeValues.js'

export interface KindOfValue {
  /** The database knows the least and the greatest. */
  readonly isOrdered?: boolean
  /** There are so few that each counts. */
  readonly isSmall?: boolean
  values(present: readonly Json[], kind: number, before: readonly Json[]): Iterable<Json>
}

const BITS: Record<string, number> = {
  ...{ tinyint: 8, smallint: 16, int2: 16, smallserial: 16, mediumint: 24, int: 32, integer: 32, int4: 32, serial: 32 },
  ...{ bigint: 64, int8: 64, bigserial: 64, 'unsigned big int': 64 },
}

export function kindOf({ metadata, declared }: ColumnCodec): KindOfValue | undefined {
  const type = declared
    .toLowerCase()
    .replace(/\(.*?\)/g, '')
    .replace(/\s+(unsigned|zerofill)/g, '')
    .trim()
  const length = Number(metadata.length || (/\((\d+)\)/.exec(declared)?.[1] ?? 0))
  if (metadata.isArray) return
  if (metadata.enum?.length) return { isSmall: true, values: () => (metadata.enum as Json[]).map(String) }
  if (metadata.type === Boolean || /^bool/.test(String(metadata.type)) || /^bool/.test(type))
    return { isSmall: true, values: () => [true, false] }
  if (type === 'year') return numbers(1901n, 2155n)
  const bits = BITS[type]
  if (bits) {
    const half = 1n << BigInt(bits - 1)
    return metadata.unsigned ? numbers(0n, 2n * half - 1n) : numbers(-half, half - 1n)
  }
  if (/^(decimal|numeric|dec|fixed)$/.test(type)) {
    const whole = Math.max(0, Math.min(15, metadata.precision ?? 10) - (metadata.scale ?? 0))
    return decimals(10 ** whole, metadata.scale ?? 0, String)
  }
  if (/^(float|float4|float8|double|double precision|real)$/.test(type)) return decimals(1e6, 0, Number)
  if (type === 'date') return dates(time => new Date(time).toISOString().slice(0, 10), DAY)
  if (/^(datetime|datetime2|timestamp|timestamptz|timestamp with(out)? time zone)/.test(type))
    return dates(time => new Date(time).toISOString(), 1000)
  if (/^time/.test(type))
    return { isSmall: true, values: randomly(() => new Date(Math.floor(Math.random() * DAY)).toISOString().slice(11, 19)) }
  if (type === 'uuid') return { values: randomly(() => globalThis.crypto.randomUUID()) }
  if (/^(binary|varbinary|blob|tinyblob|mediumblob|longblob|bytea)$/.test(type))
    return { values: randomly(() => btoa(randomText(type === 'binary' ? length || 1 : Math.min(length || 16, 16), LETTERS))) }
  if (/char|text|clob|citext/.test(type)) return texts(/^(char|character|nchar|bpchar)$/.test(type) ? length || 1 : length || 36)
  return
}
