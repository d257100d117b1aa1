import { type ColumnType, textOf } from './columnType.js'
import { viewOfHex } from './postgresNumbers.js'
import { spelled } from './postgresTexts.js'

type Point = [number, number]

const number = /[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[+-]?Infinity/i
const point = `\\((?:${number.source}),(?:${number.source})\\)`

/** How many numbers a shape has, if always the same; how its text looks; how the numbers become that text. */
interface Shape {
  readonly send: string
  readonly form: RegExp
  /** The bytes before the numbers. */
  readonly header: number
  spell(numbers: number[], isClosed: boolean): string | undefined
}

const form = (source: string) => new RegExp(`^${source}$`, 'i')

const shapes: Record<string, Shape> = {
  point: { send: 'point_send', form: form(point), header: 0, spell: numbers => points(numbers) },
  lseg: { send: 'lseg_send', form: form(`\\[${point},${point}\\]`), header: 0, spell: numbers => `[${points(numbers)}]` },
  box: {
    send: 'box_send',
    form: form(`\\(?${point},${point}\\)?`),
    header: 0,
    spell: ([a = 0, b = 0, c = 0, d = 0]) => points([Math.max(a, c), Math.max(b, d), Math.min(a, c), Math.min(b, d)]),
  },
  path: {
    send: 'path_send',
    form: form(`(?:\\(${point}(?:,${point})*\\)|\\[${point}(?:,${point})*\\])`),
    header: 5,
    spell: (numbers, isClosed) => (isClosed ? `(${points(numbers)})` : `[${points(numbers)}]`),
  },
  polygon: { send: 'poly_send', form: form(`\\(${point}(?:,${point})*\\)`), header: 4, spell: numbers => `(${points(numbers)})` },
  line: {
    send: 'line_send',
    form: form(`\\{(?:${number.source})(?:,(?:${number.source})){2}\\}`),
    header: 0,
    // the server takes what is smaller for zero
    spell: numbers => (numbers.slice(0, 2).every(n => Math.abs(n) <= 1e-6) ? undefined : `{${numbers.map(spellFloat).join(',')}}`),
  },
  circle: {
    send: 'circle_send',
    form: form(`<${point},(?:${number.source})>`),
    header: 0,
    spell: ([x = 0, y = 0, radius = 0]) => (radius < 0 ? undefined : `<${points([x, y])},${spellFloat(radius)}>`),
  },
}

/** A geometric shape, in the server's words: `(1,2)`, `<(1,2),3>`. */
export function shapeType(name: string): ColumnType {
  const shape = shapes[name] as Shape
  const type = spelled(`a ${name}`, given => {
    const text = given.replace(/\s+/g, '')
    const numbers = shape.form.test(text) ? numbersIn(text) : undefined
    return numbers && shape.spell(numbers, text.startsWith('('))
  })
  return {
    ...type,
    // as bytes, for the numbers' sake
    read: expression => `'h' || encode(${shape.send}(${expression}), 'hex')`,
    toWire(cell) {
      const text = isXY(cell)
        ? cell.radius === undefined
          ? `(${cell.x},${cell.y})`
          : `<(${cell.x},${cell.y}),${cell.radius}>`
        : textOf(cell)
      return /^h[0-9a-f]{16,}$/.test(text) ? ofBytes(text, shape) : type.toWire(text)
    },
  }
}

/** `(1, 2, 3)` or two corners. */
export const cubeType = spelled('a cube', given => {
  const text = given.replace(/\s+/g, '')
  const corner = `\\((?:(?:${number.source})(?:,(?:${number.source}))*)?\\)`
  if (!form(`${corner}(?:,${corner})?`).test(text)) return undefined
  const corners = text.split('),(').map(numbersIn)
  const [first, second = first] = corners
  if (!first || !second || first.length !== second.length || first.length > 100) return undefined
  const spell = (numbers: number[]) => `(${numbers.map(spellFloat).join(', ')})`
  return first.every((n, i) => n === second[i]) ? spell(first) : `${spell(first)},${spell(second)}`
})

/** pgvector's `[1,2,3]`. */
export function vectorType(length: number | undefined): ColumnType {
  return spelled(length ? `a vector of ${length} numbers` : 'a vector', given => {
    const text = given.replace(/\s+/g, '')
    const isList = form(`\\[(?:${number.source})(?:,(?:${number.source}))*\\]`).test(text)
    const numbers = isList ? numbersIn(text) : undefined
    if (!numbers?.every(n => Number.isFinite(Math.fround(n))) || (length && numbers.length !== length)) return undefined
    return `[${numbers.map(spellFloat).join(',')}]`
  })
}

// undefined where the server finds one out of range
function numbersIn(text: string): number[] | undefined {
  const found = text.match(new RegExp(number.source, 'gi')) ?? []
  const numbers = found.map(digits => (/infinity/i.test(digits) ? (digits.startsWith('-') ? -Infinity : Infinity) : Number(digits)))
  const isInRange = (n: number, i: number) => {
    const digits = found[i] as string
    return /infinity/i.test(digits) || (Number.isFinite(n) && (n !== 0 || !/[1-9]/.test(digits.replace(/e.*/i, ''))))
  }
  return numbers.every(isInRange) ? numbers : undefined
}

function ofBytes(text: string, shape: Shape): string {
  const view = viewOfHex(text)
  const numbers = Array.from({ length: (view.byteLength - shape.header) / 8 }, (_, i) => view.getFloat64(shape.header + i * 8))
  return shape.spell(numbers, view.getUint8(0) === 1) ?? text
}

function points(numbers: number[]): string {
  const list = Array.from({ length: numbers.length / 2 }, (_, i) => numbers.slice(i * 2, i * 2 + 2) as Point)
  return list.map(([x, y]) => `(${spellFloat(x)},${spellFloat(y)})`).join(',')
}

// the server's spelling of a double
function spellFloat(n: number): string {
  if (Object.is(n, -0)) return '-0'
  if (n === 0 || !Number.isFinite(n) || (Math.abs(n) >= 1e-4 && Math.abs(n) < 1e15)) return String(n)
  return n.toExponential().replace(/e([+-])(\d)$/, 'e$10$2')
}

function isXY(cell: unknown): cell is { x: number; y: number; radius?: number } {
  return typeof cell === 'object' && cell !== null && 'x' in cell && 'y' in cell
}
