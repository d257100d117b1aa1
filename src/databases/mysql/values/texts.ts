import { bounded, type ColumnType, textOf } from '../../values/columnType.js'

/** MariaDB's types for addresses and uuids: the server alone parses and spells them. */
export const addressType: ColumnType = bounded(
  {
    read: expression => `CAST(${expression} AS CHAR)`,
    placeholder: '?',
    isSpelledThere: true,
    toWire: textOf,
    fromWire: (value, reject) => (typeof value === 'string' ? value : reject('is not a string')),
  },
  100,
)

// a point in parentheses of its own, in a MULTIPOINT: MySQL writes so, and MariaDB does not read it
const pointInParentheses = /(?<=[(,]\s*)\(\s*([^\s(),]+\s+[^\s(),]+)\s*\)/g

/** Shapes as text (WKT), as the server spells it: `POINT(1 2)`. What it cannot read it would store as NULL. */
export function geometryType(kind: string, srid: number | undefined, isLegacy: boolean): ColumnType {
  const prefix = isLegacy ? '' : 'ST_'
  const start = new RegExp(`^\\s*${kind === 'geometry' ? '[a-z]+' : kind}\\s*\\(`, 'i')
  const type: ColumnType = {
    read: expression => `${prefix}AsText(${expression})`,
    placeholder: srid === undefined || srid === null ? `${prefix}GeomFromText(?)` : `${prefix}GeomFromText(?, ${Number(srid)})`,
    isSpelledThere: true,
    toWire: cell => textOf(cell).replace(pointInParentheses, '$1'),
    fromWire: (value, reject) =>
      typeof value === 'string' && start.test(value) ? value.replace(pointInParentheses, '$1') : reject(`is not a ${kind} in WKT`),
  }
  return bounded(type, 1_000_000)
}
