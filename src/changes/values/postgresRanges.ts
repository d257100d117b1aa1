import type { ColumnType } from './columnType.js'
import { spellRangeDate, spellRangeTime } from './postgresDates.js'
import { spellDecimal } from './postgresNumbers.js'
import { readAsText, spelled } from './postgresTexts.js'

interface Bound {
  /** How the server writes a bound; undefined for none that it knows. */
  spell(text: string): string | undefined
  compare(a: string, b: string): number
  /** The next value, where values can be counted; undefined where it is out of range. */
  next?(text: string): string | undefined
  /** SQL for a bound, where its text depends on the session. */
  read?(bound: string): string
}

const asJson = (expression: string) => `CAST(to_json(${expression}) AS text)`

/** A range as it is written; not told by one regular expression, which would try each of many spaces. */
function partsOf(text: string): { open: string; low: string; high: string; close: string } | undefined {
  const [open = '', close = ''] = [text[0], text.at(-1)]
  const items = text
    .slice(1, -1)
    .split(',')
    .map(item => item.trim())
  const [low, high] = items.map(item => (/^"[^"\\]*"$/.test(item) ? item.slice(1, -1) : /["\\()[\]]/.test(item) ? undefined : item))
  if (!'[('.includes(open) || !'])'.includes(close) || text.length < 3 || items.length !== 2) return
  return low === undefined || high === undefined ? undefined : { open, low, high, close }
}

function integers(bits: 32 | 64): Bound {
  const limit = 2n ** BigInt(bits - 1)
  const within = (n: bigint) => (n < limit && n >= -limit ? String(n) : undefined)
  return {
    spell: text => (/^[+-]?\d{1,40}$/.test(text) ? within(BigInt(text.replace('+', ''))) : undefined),
    compare: (a, b) => Number(BigInt(a) - BigInt(b)),
    next: text => within(BigInt(text) + 1n),
  }
}

const numerics: Bound = {
  spell: text => spellDecimal(text),
  compare(a, b) {
    const scale = Math.max(...[a, b].map(text => text.split('.')[1]?.length ?? 0))
    const [x, y] = [a, b].map(text => BigInt((spellDecimal(text, scale) ?? '0').replace('.', '')))
    return x === y ? 0 : (x as bigint) < (y as bigint) ? -1 : 1
  },
}

// years have four digits, so texts compare as dates do, but for the infinite ones; a fraction is longer than none
function compareDates(a: string, b: string): number {
  const key = (text: string) => (text === 'infinity' ? '~' : text === '-infinity' ? '' : text.replace(/\+00$/, ''))
  return key(a) === key(b) ? 0 : key(a) < key(b) ? -1 : 1
}

const bounds: Record<string, Bound> = {
  int4: integers(32),
  int8: integers(64),
  num: numerics,
  ts: { spell: text => spellRangeTime(text, ''), compare: compareDates, read: asJson },
  tstz: { spell: text => spellRangeTime(text, '+00'), compare: compareDates, read: bound => asJson(`${bound} AT TIME ZONE 'UTC'`) },
  date: {
    spell: spellRangeDate,
    compare: compareDates,
    read: asJson,
    next: text => (/infinity/.test(text) ? undefined : new Date(Date.parse(text) + 86_400_000).toISOString().replace(/T.*/, '')),
  },
}

/** `[1,5)`, `(,"2026-01-01 00:00:00"]`, `empty`. */
export function rangeType(subtype: string): ColumnType {
  const bound = bounds[subtype] as Bound
  return spelled('a range', text => spellRange(text, bound), readRange(bound))
}

/** `{[1,5),[7,9)}`. */
export function multirangeType(subtype: string): ColumnType {
  const bound = bounds[subtype] as Bound
  const read = (expression: string) =>
    `CASE WHEN ${expression} IS NOT NULL THEN '{' || array_to_string(` +
    `ARRAY(SELECT ${readRange(bound)('sync_part.range')} FROM unnest(${expression}) AS sync_part(range)), ',') || '}' END`
  return spelled('a list of ranges', text => spellRanges(text, bound), bound.read ? read : readAsText)
}

export const isSessionRange = (subtype: string) => bounds[subtype]?.read !== undefined

function readRange({ read }: Bound): (expression: string) => string {
  if (!read) return readAsText
  return range =>
    `CASE WHEN isempty(${range}) THEN 'empty' WHEN ${range} IS NOT NULL THEN concat(CASE WHEN lower_inc(${range}) THEN '[' ELSE '(' END, ` +
    `${read(`lower(${range})`)}, ',', ${read(`upper(${range})`)}, CASE WHEN upper_inc(${range}) THEN ']' ELSE ')' END) END`
}

function spellRange(text: string, bound: Bound): string | undefined {
  if (/^\s*empty\s*$/i.test(text)) return 'empty'
  const parts = partsOf(text.trim())
  if (!parts) return undefined
  const { open, close } = parts
  const [low, high] = [parts.low, parts.high].map(item => (item === '' ? '' : bound.spell(item)))
  if (low === undefined || high === undefined) return undefined
  const order = low && high ? bound.compare(low, high) : -1
  if (order > 0) return undefined
  if (order === 0 && open + close !== '[]') return 'empty'
  return bound.next ? countedRange(open, low, high, close, bound) : `${low ? open : '('}${quote(low)},${quote(high)}${high ? close : ')'}`
}

// the server writes ranges of what can be counted as [from,to)
function countedRange(open: string, low: string, high: string, close: string, bound: Bound): string | undefined {
  const isKnown = (text: string) => text !== '' && !text.includes('infinity')
  const from = open === '(' && isKnown(low) ? bound.next?.(low) : low
  const to = close === ']' && isKnown(high) ? bound.next?.(high) : high
  if (from === undefined || to === undefined) return undefined
  if (from && to && bound.compare(from, to) >= 0 && isKnown(from)) return 'empty'
  const [start, end] = [isKnown(low) ? '[' : low ? open : '(', isKnown(high) ? ')' : high ? close : ')']
  return `${start}${from},${to}${end}`
}

function spellRanges(text: string, bound: Bound): string | undefined {
  const list = text.trim()
  if (!list.startsWith('{') || !list.endsWith('}') || list.length < 2) return undefined
  const inside = list.slice(1, -1).trim()
  if (inside === '') return '{}'
  const form = /(empty|[[(][^\])]*[\])])\s*(,|$)\s*/gy
  const ranges: string[] = []
  let [end, isOpen] = [0, false]
  for (let match = form.exec(inside); match; match = form.exec(inside)) {
    const range = spellRange(match[1] as string, bound)
    if (range === undefined) return undefined
    if (range !== 'empty') ranges.push(range)
    end = form.lastIndex
    isOpen = match[2] === ','
    if (end === inside.length) break
  }
  return end === inside.length && !isOpen ? `{${unite(ranges, bound).join(',')}}` : undefined
}

// the server sorts them and makes one of those that touch
function unite(ranges: string[], bound: Bound): string[] {
  const parts = ranges.flatMap(range => partsOf(range) ?? [])
  type Part = (typeof parts)[number]
  const compareLow = (a: Part, b: Part) => (a.low && b.low ? bound.compare(a.low, b.low) : Number(a.low !== '') - Number(b.low !== ''))
  const compareHigh = (a: Part, b: Part) =>
    a.high && b.high ? bound.compare(a.high, b.high) : Number(a.high === '') - Number(b.high === '')
  parts.sort((a, b) => compareLow(a, b) || Number(a.open === '(') - Number(b.open === '('))
  const united: Part[] = []
  for (const part of parts) {
    const last = united.at(-1)
    const gap = last && (last.high && part.low ? bound.compare(part.low, last.high) : -1)
    const isApart = last === undefined || gap === undefined || gap > 0 || (gap === 0 && last.close === ')' && part.open === '(')
    if (isApart) united.push(part)
    else {
      const order = compareHigh(part, last)
      if (order > 0 || (order === 0 && part.close === ']')) united[united.length - 1] = { ...last, high: part.high, close: part.close }
    }
  }
  return united.map(({ open, low, high, close }) => `${open}${quote(low)},${quote(high)}${close}`)
}

function quote(text: string): string {
  return text.includes(' ') ? `"${text}"` : text
}
