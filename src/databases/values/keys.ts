import type { DataSource } from 'typeorm'
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js'

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
