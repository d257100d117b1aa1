import { bounded, type ColumnType, textOf } from './columnType.js'

const LONGEST = 1_000_000
const numberForm = /^-?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i

/** Shapes as text (WKT), in one spelling: `POINT(1 2)`. What the server cannot read it would store as NULL. */
export function geometryType(kind: string, srid: number | undefined, isLegacy: boolean): ColumnType {
  const prefix = isLegacy ? '' : 'ST_'
  const type: ColumnType = {
    read: expression => `${prefix}AsText(${expression})`,
    placeholder: srid === undefined || srid === null ? `${prefix}GeomFromText(?)` : `${prefix}GeomFromText(?, ${Number(srid)})`,
    toWire(cell) {
      const text = textOf(cell)
      return shapeOf(text) ?? text
    },
    fromWire(value, reject) {
      const text = typeof value === 'string' ? shapeOf(value) : undefined
      if (text === undefined) return reject('is not a shape in WKT')
      return kind === 'geometry' || text.startsWith(`${kind.toUpperCase()}(`) ? text : reject(`is not a ${kind}`)
    },
  }
  return bounded(type, LONGEST)
}

function shapeOf(text: string): string | undefined {
  const [match, kind = '', body = ''] = /^\s*([a-z]+)\s*\(([\s\S]*)\)\s*$/i.exec(text) ?? []
  const name = kind.toUpperCase()
  const inner = match && (name === 'GEOMETRYCOLLECTION' ? listOf(body, shapeOf) : bodies.get(name)?.(body))
  return inner === undefined || inner === '' ? undefined : `${name}(${inner})`
}

type Body = (text: string) => string | undefined

const point: Body = text => {
  const numbers = text.trim().split(/\s+/)
  const areFinite = numbers.every(number => numberForm.test(number) && Number.isFinite(Number(number)))
  return numbers.length === 2 && areFinite ? numbers.map(number => String(Number(number) + 0)).join(' ') : undefined
}
const points = (least: number, isClosed: boolean): Body => {
  return text => {
    const list = listOf(text, point)
    const items = list?.split(',') ?? []
    return items.length < least || (isClosed && items[0] !== items.at(-1)) ? undefined : list
  }
}
const line = points(2, false)
const polygon: Body = text => listOf(text, inParentheses(points(4, true)))
const inParentheses = (body: Body): Body => {
  return text => {
    const [match, content = ''] = /^\s*\(([\s\S]*)\)\s*$/.exec(text) ?? []
    const inner = match && body(content)
    return inner ? `(${inner})` : undefined
  }
}

const bodies = new Map<string, Body>([
  ['POINT', point],
  ['LINESTRING', line],
  ['POLYGON', polygon],
  // with and without parentheses around each point, which MariaDB does not read
  ['MULTIPOINT', text => listOf(text, item => point(item.replace(/^\s*\(([^()]*)\)\s*$/, '$1')))],
  ['MULTILINESTRING', text => listOf(text, inParentheses(line))],
  ['MULTIPOLYGON', text => listOf(text, inParentheses(polygon))],
])

/** Items between the commas that are in no parentheses. */
function listOf(text: string, body: Body): string | undefined {
  const items: string[] = []
  let depth = 0
  let start = 0
  for (let i = 0; i <= text.length; i++) {
    const character = text[i]
    if (character === '(') depth++
    if (character === ')') depth--
    if (depth < 0 || (character === undefined && depth !== 0)) return undefined
    if (character !== undefined && (character !== ',' || depth > 0)) continue
    const item = body(text.slice(start, i))
    if (item === undefined) return undefined
    items.push(item)
    start = i + 1
  }
  return items.join(',')
}
