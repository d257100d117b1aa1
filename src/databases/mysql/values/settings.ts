import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js'

/** What TypeORM's options say about its connection, as far as it decides how values come out of the driver. */
export interface MysqlSettings {
  readonly timezone?: string
  readonly dateStrings?: boolean | readonly string[]
  readonly supportBigNumbers?: boolean
  readonly bigNumberStrings?: boolean
  readonly decimalNumbers?: boolean
  readonly jsonStrings?: boolean
  readonly charset?: string
  readonly legacySpatialSupport?: boolean
}

export function settingsOf({ entityMetadata }: ColumnMetadata): MysqlSettings {
  const options = entityMetadata.dataSource.options as MysqlSettings & { readonly extra?: MysqlSettings }
  return { ...options, ...options.extra }
}
