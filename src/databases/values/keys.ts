import type { DataSource } from 'typeorm'
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js'
import type { Json } from '../../protocol/messages.js'
import { isInteger, splitId } from './compositeKeys.js'
import { travelling } from './identities.js'

const canonicalUuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Says why a key column cannot hold an id as it is, as the end of a sentence that begins with "it". Keys come back as they were sent. */
export function keyCheck(column: ColumnMetadata, dataSource: DataSource): (id: string) => string | undefined {
  const { driver, options } = dataSource
  const isMysql = options.type === 'mysql' || options.type === 'mariadb'
  if (!isMysql && options.type !== 'postgres') return () => undefined
  const type = driver.normalizeType(column)
  // both write uuids their own way, whatever was sent
  if (type === 'uuid') return id => (canonicalUuid.test(id) ? undefined : 'is not a uuid in lower case with dashes')
  const length = Number(column.length || driver.getColumnLength(column)) || undefined
  const isPadded = type === 'char' || type === 'character' || type === 'nchar'
  return id => {
    if (length !== undefined && [...id].length > length) return `is longer than ${length} characters`
    // they compare, or come back, without the spaces
    return (isMysql || isPadded) && id.endsWith(' ') ? 'ends with a space' : undefined
  }
}

/** What a column of a composite key says of its part of an id. */
interface Part {
  readonly property: string
  readonly metadata: ColumnMetadata
  canonical(value: Json): Json
}

/** As `keyCheck`, for a key of several columns. Of `value` it says as well why the properties of the key are not those of the id. */
export function compositeKeyCheck(parts: readonly Part[], dataSource: DataSource) {
  const checks = parts.map(({ metadata }) =>
    isInteger(travelling(metadata))
      ? (text: string) => (/^(0|-?[1-9]\d*)$/.test(text) ? undefined : 'is no integer')
      : keyCheck(travelling(metadata), dataSource),
  )
  return (id: string, value?: Readonly<Record<string, Json>> | null): string | undefined => {
    const texts = splitId(id, parts.length)
    if (!texts) return `is not ${parts.map(p => p.property).join(' and ')} joined by a slash`
    for (const [i, { property, canonical }] of parts.entries()) {
      const text = texts[i] as string
      const why = checks[i]?.(text)
      if (why) return `has a part, ${property}, that ${why}`
      if (value && Object.hasOwn(value, property) && String(canonical(value[property] as Json)) !== text)
        return `is not that of the row, whose ${property} is another one`
    }
    return
  }
}
