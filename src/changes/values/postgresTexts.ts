import type { Json } from '../../protocol/messages.js'
import { decodeBase64, encodeBase64 } from './base64.js'
import { bounded, bytesOf, type ColumnType, type Reject, textOf, withoutSpacesAtEnd } from './columnType.js'
import { decodeHex, encodeHex } from './hex.js'
import { jsonType, textType } from './texts.js'

export const readAsText = (expression: string) => `CAST(${expression} AS text)`

const anyText = textType(undefined)
// engines take the stack for what repeats in a regular expression, and end a few times beyond this
const LONGEST = 1_000_000

/** A type that travels as the text that the server writes. `spell` gives that text, undefined for what the server would refuse. */
export function spelled(name: string, spell: (text: string) => string | undefined, read = readAsText): ColumnType {
  const type: ColumnType = {
    read,
    placeholder: '?',
    toWire: cell => spell(textOf(cell)) ?? textOf(cell),
    fromWire: (value, reject) => spell(anyText.fromWire(value, reject) as string) ?? reject(`is not ${name}`),
  }
  return bounded(type, LONGEST)
}

export function postgresText(length: number | undefined): ColumnType {
  return { ...textType(length), read: readAsText }
}

/** `char(n)`, without the blanks that the server fills it up with: other databases do not, and they do not count in comparisons. */
export function charType(length: number): ColumnType {
  const type = textType(length)
  return {
    read: readAsText,
    placeholder: '?',
    toWire: cell => withoutSpacesAtEnd(textOf(cell)),
    fromWire: (value, reject) => type.fromWire(typeof value === 'string' ? withoutSpacesAtEnd(value) : value, reject),
  }
}

export const byteaType: ColumnType = {
  // its form does not depend on bytea_output, nor its backslash on standard_conforming_strings
  read: expression => `chr(92) || 'x' || encode(${expression}, 'hex')`,
  placeholder: '?',
  toWire(cell) {
    const bytes = bytesOf(cell)
    if (bytes) return encodeBase64(bytes)
    const text = textOf(cell)
    return encodeBase64((text.startsWith('\\x') ? decodeHex(text, 2) : undefined) ?? new TextEncoder().encode(text))
  },
  fromWire(value, reject) {
    const bytes = (typeof value === 'string' ? decodeBase64(value) : undefined) ?? reject('is not base64')
    return `\\x${encodeHex(bytes)}`
  },
}

const jsonText = jsonType(true)

export const postgresJson: ColumnType = { ...jsonText, read: readAsText }

/** Other than `json`, it holds what the text means, and PostgreSQL has no NUL and no half characters. */
export const postgresJsonb: ColumnType = {
  ...postgresJson,
  fromWire(value, reject) {
    const text = jsonText.fromWire(value, reject)
    refuseOddCharacters(value, reject)
    return text
  },
}

function refuseOddCharacters(value: Json, reject: Reject): void {
  if (typeof value === 'string') anyText.fromWire(value, reject)
  if (typeof value !== 'object' || value === null) return
  for (const key of Object.keys(value)) anyText.fromWire(key, reject)
  for (const item of Object.values(value)) refuseOddCharacters(item, reject)
}

/** PostGIS: GeoJSON, as TypeORM has it. */
export const geoJsonType: ColumnType = {
  ...postgresJsonb,
  read: expression => `ST_AsGeoJSON(${expression})`,
  fromWire(value, reject) {
    const isObject = typeof value === 'object' && !Array.isArray(value) && typeof value.type === 'string'
    return isObject ? postgresJsonb.fromWire(value, reject) : reject('is not GeoJSON')
  },
}

export const uuidType = spelled('a UUID', text =>
  /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text) ? text.toLowerCase() : undefined,
)

export function bitType(length: number | undefined, isVarying: boolean): ColumnType {
  const fits = (text: string) => (isVarying ? length === undefined || text.length <= length : text.length === (length ?? 1))
  const size = isVarying ? (length ? `${length} bits at most` : 'bits') : `${length ?? 1} bits`
  return spelled(size, text => (/^[01]*$/.test(text) && fits(text) ? text : undefined))
}

export const macaddrType = spelled('a MAC address', text => spellMac(text, 6))
export const macaddr8Type = spelled('a MAC address of 8 bytes', text => spellMac(text, 8))

function spellMac(text: string, bytes: number): string | undefined {
  const parts = text.toLowerCase().split(text.includes('-') ? '-' : ':')
  return parts.length === bytes && parts.every(part => /^[0-9a-f]{2}$/.test(part)) ? parts.join(':') : undefined
}

export const inetType = spelled('an IP address', text => {
  const address = addressOf(text)
  return address && (address.bits === address.all ? address.host : `${address.host}/${address.bits}`)
})

export const cidrType = spelled('an IP network', text => {
  const address = addressOf(text)
  const isNetwork = address && !address.binary.slice(address.bits).includes('1')
  return isNetwork ? `${address.host}/${address.bits}` : undefined
})

function addressOf(text: string) {
  const [match, host = '', mask] = /^([\d.]+|[\da-f:.]+)(?:\/(0|[1-9]\d{0,2}))?$/i.exec(text) ?? []
  const address = match ? (host.includes(':') ? address6(host) : address4(host)) : undefined
  if (!address) return undefined
  const all = address.binary.length
  const bits = mask === undefined ? all : Number(mask)
  return bits <= all ? { ...address, all, bits } : undefined
}

function address4(host: string): { host: string; binary: string } | undefined {
  const parts = host.split('.')
  const isAddress = parts.length === 4 && parts.every(part => /^(?:0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256)
  return isAddress ? { host, binary: parts.map(part => Number(part).toString(2).padStart(8, '0')).join('') } : undefined
}

function address6(host: string): { host: string; binary: string } | undefined {
  if (!URL.canParse(`http://[${host}]`)) return undefined
  const short = new URL(`http://[${host}]`).hostname.slice(1, -1)
  const [head = '', tail] = short.split('::')
  const [before, after] = [head, tail ?? ''].map(part => part.split(':').filter(Boolean)) as [string[], string[]]
  const words = [...before, ...Array(8 - before.length - after.length).fill('0'), ...after]
  const binary = words.map(word => Number.parseInt(word, 16).toString(2).padStart(16, '0')).join('')
  // the server writes addresses of IPv4 in IPv6 so
  const [old, prefix = '', high = '', low = ''] = /^::(ffff:)?([0-9a-f]+):([0-9a-f]+)$/.exec(short) ?? []
  const octets = [high, low].flatMap(word => [Number.parseInt(word, 16) >> 8, Number.parseInt(word, 16) & 255])
  return { host: old ? `::${prefix}${octets.join('.')}` : short, binary }
}

/** Labels between dots. */
export const ltreeType = spelled('a path of labels', text => {
  const labels = text === '' ? [] : text.split('.')
  return labels.length < 65_536 && labels.every(label => /^[A-Za-z0-9_]{1,255}$/.test(label)) ? text : undefined
})

/** `"key"=>"value", "other"=>NULL`, sorted as the server does. */
export const hstoreType = spelled('a list of "key"=>"value"', text => {
  const pair = /\s*(?:"((?:[^"\\]|\\.)*)"|([\w-]+))\s*=>\s*(?:"((?:[^"\\]|\\.)*)"|([\w-]+))\s*(,|$)/gsy
  const pairs = new Map<string, string | null>()
  const plain = (quoted: string | undefined, bare: string | undefined) =>
    quoted === undefined ? (bare as string) : quoted.replace(/\\(.)/gs, '$1')
  let [end, isOpen] = [0, false]
  for (let match = pair.exec(text); match; match = pair.exec(text)) {
    const key = plain(match[1], match[2])
    const value = match[3] === undefined && /^null$/i.test(match[4] as string) ? null : plain(match[3], match[4])
    if (!pairs.has(key)) pairs.set(key, value)
    end = pair.lastIndex
    isOpen = match[5] === ','
    if (end === text.length) break
  }
  if (isOpen || text.slice(end).trim() !== '') return undefined
  const quote = (item: string | null) => (item === null ? 'NULL' : `"${item.replace(/["\\]/g, '\\$&')}"`)
  const sorted = [...pairs].map(([key, value]) => ({ key, value, bytes: new TextEncoder().encode(key) }))
  sorted.sort((a, b) => a.bytes.length - b.bytes.length || compareBytes(a.bytes, b.bytes))
  return sorted.map(({ key, value }) => `${quote(key)}=>${quote(value)}`).join(', ')
})

/** `'fat':2A 'cat':3`, sorted as the server does. */
export const tsvectorType = spelled('a list of lexemes', text => {
  const form = /\s*(?:'((?:[^'\\]|''|\\.)+)'|([\p{L}\p{N}_]+))(?::(\d{1,5}[A-D]?(?:,\d{1,5}[A-D]?)*))?(?=\s|$)/gsuy
  const lexemes = new Map<string, Map<number, string>>()
  let end = 0
  for (let match = form.exec(text); match; match = form.exec(text)) {
    const lexeme = match[2] ?? (match[1] as string).replace(/''/g, "'").replace(/\\(.)/gs, '$1')
    const places = lexemes.get(lexeme) ?? new Map<number, string>()
    for (const place of match[3]?.split(',') ?? []) {
      const [number, weight] = [Number.parseInt(place, 10), place.replace(/\d+/, '') || 'D']
      if (number < 1 || number > 16_383) return undefined
      if (weight < (places.get(number) ?? 'E')) places.set(number, weight)
    }
    if (places.size > 255 || new TextEncoder().encode(lexeme).length > 2046) return undefined
    lexemes.set(lexeme, places)
    end = form.lastIndex
    if (end === text.length) break
  }
  if (text.slice(end).trim() !== '' || text.length > 250_000) return undefined
  const sorted = [...lexemes].map(([lexeme, places]) => ({ lexeme, places, bytes: new TextEncoder().encode(lexeme) }))
  sorted.sort((a, b) => compareBytes(a.bytes, b.bytes))
  return sorted.map(({ lexeme, places }) => `'${lexeme.replace(/['\\]/g, '$&$&')}'${spellPlaces(places)}`).join(' ')
})

function spellPlaces(places: Map<number, string>): string {
  const sorted = [...places].sort(([a], [b]) => a - b)
  return sorted.length === 0 ? '' : `:${sorted.map(([place, weight]) => `${place}${weight === 'D' ? '' : weight}`).join(',')}`
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const differing = a.findIndex((byte, i) => byte !== b[i])
  if (differing === -1) return a.length - b.length
  return differing >= b.length ? 1 : (a[differing] as number) - (b[differing] as number)
}

/** `'fat' & ( 'cat' | !'rat':* )`. Parentheses that the server would leave out stay. */
export const tsqueryType = spelled('a text search query', text => {
  const token = /\s*(?:('(?:[^'\\]|''|\\\\)+'(?::\*?[A-D]{0,4})?)|(!)|(\()|(\))|(&|\||<->|<\d{1,4}>))\s*/gy
  let [depth, isOperand, end] = [0, true, 0]
  for (let match = token.exec(text); match; match = token.exec(text)) {
    const [, word, not, open, close, operator] = match
    if (Boolean(word || not || open) !== isOperand) return undefined
    if (word || operator) isOperand = Boolean(operator)
    depth += open ? 1 : close ? -1 : 0
    if (depth < 0 || depth > 100 || (word && new TextEncoder().encode(word).length > 2046)) return undefined
    end = token.lastIndex
    if (end === text.length) break
  }
  if (text === '') return text
  return end === text.length && depth === 0 && !isOperand ? text.trim() : undefined
})

const pathString = /"(?:[^"\\\p{Cc}]|\\["\\])*"/u.source
const pathSteps = `(?:\\.(?:${pathString}|\\*|(?:type|size|double|ceiling|floor|abs|keyvalue)\\(\\))|\\[(?:\\*|0|[1-9]\\d{0,8})\\])*`
const pathItem = `(?:[@$]${pathSteps}|-?(?:0|[1-9]\\d{0,14})(?:\\.\\d{1,15})?|${pathString}|true|false|null)`
const pathFilter = `\\?\\(${pathItem} (?:==|!=|<|>|<=|>=) ${pathItem}(?: (?:&&|\\|\\|) ${pathItem} (?:==|!=|<|>|<=|>=) ${pathItem})?\\)`
const pathForm = new RegExp(`^(?:strict )?\\$${pathSteps}(?:${pathFilter}${pathSteps})*$`, 'u')

/** A JSON path as the server spells it: steps, and filters with one or two comparisons. The rest of that language is not told from nonsense. */
export const jsonpathType = spelled('a JSON path of steps and simple filters', text => (pathForm.test(text) ? text : undefined))

const xmlName = /[\p{L}_][\p{L}\p{N}_.-]*(?::[\p{L}_][\p{L}\p{N}_.-]*)?/u.source
const xmlReference = /&(?:lt|gt|amp|quot|apos|#(?:9|10|13|3[2-9]|[4-9]\d|[1-9]\d{2,3}));/.source
const xmlToken = new RegExp(
  `<(${xmlName})((?:\\s+${xmlName}\\s*=\\s*(?:"(?:[^<&"]|${xmlReference})*"|'(?:[^<&']|${xmlReference})*'))*)\\s*(/?)>|</(${xmlName})\\s*>|` +
    `<!--(?:[^-]|-[^-])*-->|<!\\[CDATA\\[(?:(?!\\]\\]>)[^])*\\]\\]>|(?:(?!\\]\\]>)[^<&]|${xmlReference})+`,
  'gu',
)
const xmlDeclaration = /^<\?xml version=["']1\.0["'](?: encoding=["']utf-8["'])?\?>\s*/i

/** XML in elements, text, comments and CDATA; no document types and instructions. The server leaves out the declaration as well. */
export const xmlType = spelled('well-formed XML', text => {
  const content = text.replace(xmlDeclaration, '')
  if ([...content].some(char => char < ' ' && !'\t\n\r'.includes(char)) || /[\ufffe\uffff]/.test(content)) return undefined
  const open: string[] = []
  let end = 0
  for (const { 0: found, 1: opened, 2: attributes = '', 3: isEmpty, 4: closed, index } of content.matchAll(xmlToken)) {
    if (index !== end) return undefined
    end += found.length
    const names = [...attributes.matchAll(new RegExp(`(${xmlName})\\s*=\\s*(?:"[^"]*"|'[^']*')`, 'gu'))].map(([, name]) => name)
    if (new Set(names).size < names.length) return undefined
    if (opened && !isEmpty) open.push(opened)
    if (closed && open.pop() !== closed) return undefined
    if (open.length > 200) return undefined
  }
  return end === content.length && open.length === 0 ? content : undefined
})
