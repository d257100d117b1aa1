import libsql from 'libsql'
import { DataSource, type DataSourceOptions, type EntityTarget, type NamingStrategyInterface, type ObjectLiteral } from 'typeorm'
import { type ColumnCodec, describeColumns } from '../../../src/databases/columns.js'
import { loadKind } from '../../../src/databases/open.js'
import type { Json } from '../../../src/protocol/messages.js'

export type Kind = 'sqljs' | 'libsql'

export type Entities = NonNullable<DataSourceOptions['entities']>

type Cell = Record<string, unknown>

export class Db {
  private constructor(
    readonly kind: Kind,
    readonly dataSource: DataSource,
  ) {}

  static async open(kind: Kind, entities: Entities, namingStrategy?: NamingStrategyInterface): Promise<Db> {
    const common = { entities, namingStrategy, synchronize: true }
    const options: DataSourceOptions =
      kind === 'sqljs' ? { type: 'sqljs', ...common } : { type: 'better-sqlite3', database: ':memory:', driver: libsql, ...common }
    const db = new Db(kind, await new DataSource(options).initialize())
    await loadKind(db.dataSource)
    return db
  }

  all(sql: string, ...params: unknown[]): Cell[] {
    const connection = (this.dataSource.driver as any).databaseConnection
    if (this.kind === 'libsql') {
      const statement = connection.prepare(sql)
      if (statement.reader) return statement.all(params)
      statement.run(params)
      return []
    }
    const statement = connection.prepare(sql)
    statement.bind(params)
    const rows: Cell[] = []
    while (statement.step()) rows.push(statement.getAsObject())
    statement.free()
    return rows
  }

  codecs(target: EntityTarget<ObjectLiteral>): ColumnCodec[] {
    return describeColumns(this.dataSource.getMetadata(target), this.dataSource)
  }

  codec(target: EntityTarget<ObjectLiteral>, property: string): ColumnCodec {
    const codec = this.codecs(target).find(c => c.property === property)
    if (!codec) throw new Error(`no codec for ${property}: ${this.codecs(target).map(c => c.property)}`)
    return codec
  }

  table(target: EntityTarget<ObjectLiteral>): string {
    return this.dataSource.getMetadata(target).tableName
  }

  readWire(target: EntityTarget<ObjectLiteral>, id: string): Record<string, Json> {
    const codecs = this.codecs(target)
    const expressions = codecs.map((c, i) => `${c.read(`t."${c.column}"`)} AS c${i}`)
    const [row] = this.all(`SELECT ${expressions.join(', ')} FROM "${this.table(target)}" t WHERE "id" = ?`, id)
    if (!row) throw new Error(`no row ${id}`)
    return Object.fromEntries(codecs.map((c, i) => [c.property, c.toWire(row[`c${i}`])]))
  }

  storeWire(target: EntityTarget<ObjectLiteral>, id: string, value: Record<string, Json>): void {
    const codecs = this.codecs(target).filter(c => Object.hasOwn(value, c.property))
    this.all(
      `INSERT INTO "${this.table(target)}" ("id", ${codecs.map(c => `"${c.column}"`).join(', ')}) VALUES (?, ${codecs.map(c => c.placeholder).join(', ')})`,
      id,
      ...codecs.map(c => c.fromWire(value[c.property] as Json)),
    )
  }

  /** What is stored: kind and value of each cell. quote() of a real differs between versions of SQLite, so a real is read as it is. */
  cells(target: EntityTarget<ObjectLiteral>, id: string, { quoteReals = false, except = [] as string[] } = {}): Record<string, unknown> {
    const codecs = this.codecs(target).filter(c => !except.includes(c.property))
    const expressions = codecs.map(({ column }, i) => {
      const quoted = quoteReals ? `quote("${column}")` : `CASE typeof("${column}") WHEN 'real' THEN "${column}" ELSE quote("${column}") END`
      return `typeof("${column}") AS t${i}, ${quoted} AS q${i}`
    })
    const [row] = this.all(`SELECT ${expressions.join(', ')} FROM "${this.table(target)}" WHERE "id" = ?`, id)
    return Object.fromEntries(codecs.map((c, i) => [c.property, `${row?.[`t${i}`]} ${row?.[`q${i}`]}`]))
  }

  /** The row as the application finds it; blobs, whose class differs between drivers, as lists of bytes. */
  async find(target: EntityTarget<ObjectLiteral>, id: string): Promise<unknown> {
    const [entity] = await this.dataSource.getRepository(target).find({ where: { id }, withDeleted: true, loadRelationIds: true })
    return withPlainBytes(entity)
  }
}

export function withPlainBytes(value: unknown): any {
  if (ArrayBuffer.isView(value)) return { bytes: [...new Uint8Array(value.buffer, value.byteOffset, value.byteLength)] }
  if (Object.prototype.toString.call(value) === '[object ArrayBuffer]') return { bytes: [...new Uint8Array(value as ArrayBuffer)] }
  if (typeof value !== 'object' || value === null || value instanceof Date || Array.isArray(value) || value instanceof Map) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withPlainBytes(item)]))
}

export const pairs: [Kind, Kind][] = [
  ['sqljs', 'libsql'],
  ['libsql', 'sqljs'],
  ['sqljs', 'sqljs'],
  ['libsql', 'libsql'],
]

/** Sends a row from one database to another as the engine does, through JSON text, and gives back that text's content. */
export function send(from: Db, to: Db, target: EntityTarget<ObjectLiteral>, id: string): Record<string, Json> {
  const wire = JSON.parse(JSON.stringify(from.readWire(target, id)))
  to.storeWire(target, id, wire)
  return wire
}
