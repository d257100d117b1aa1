import mysql, { type Connection } from 'mysql2'
import { DataSource, type DataSourceOptions, type EntitySchema } from 'typeorm'
import type { Collection } from '../../../src/changes/collections/collection.js'
import { type Held, readHeld } from '../../../src/changes/rows/held.js'
import { type ColumnCodec, describeColumns } from '../../../src/databases/columns.js'
import { mysqlDatabase } from '../../../src/databases/mysql/database.js'
import { loadKind } from '../../../src/databases/open.js'
import type { Json } from '../../../src/protocol/messages.js'
import { mysqlUrl } from '../../support/mysqlServer.js'

export type MysqlKind = 'mariadb' | 'mysql'

const integers = ['TINY', 'SHORT', 'LONG', 'INT24', 'LONGLONG', 'YEAR', 'FLOAT', 'DOUBLE']

/** A database of its own on the server, an entity in it, and a second connection that reads and writes as the engine does. */
export class MysqlDb {
  private constructor(
    readonly dataSource: DataSource,
    readonly raw: Connection,
    readonly entity: EntitySchema<Record<string, unknown>>,
    readonly name: string,
  ) {}

  static async open(kind: MysqlKind, entity: EntitySchema<Record<string, unknown>>, more: object = {}): Promise<MysqlDb> {
    const { hostname, port, username, password } = new URL(mysqlUrl!)
    const server = { host: hostname, port: Number(port) || 3306, password: decodeURIComponent(password) }
    const name = `sync_values_my_${process.pid}_${++opened}`
    const raw = mysql.createConnection({ ...server, user: username, charset: 'UTF8MB4_UNICODE_CI' })
    await send(raw, `CREATE DATABASE ${name} CHARACTER SET utf8mb4`)
    await send(raw, `USE ${name}`)
    const options = { type: kind, ...server, username, database: name, entities: [entity], synchronize: true, ...more } as DataSourceOptions
    try {
      const dataSource = await new DataSource(options).initialize()
      await loadKind(dataSource)
      return new MysqlDb(dataSource, raw, entity, name)
    } catch (error) {
      await send(raw, `DROP DATABASE ${name}`)
      raw.destroy()
      throw error
    }
  }

  async close(): Promise<void> {
    await this.dataSource.destroy()
    await send(this.raw, `DROP DATABASE ${this.name}`)
    this.raw.destroy()
  }

  get codecs(): ColumnCodec[] {
    return describeColumns(this.dataSource.getMetadata(this.entity), this.dataSource)
  }

  codec(property: string): ColumnCodec {
    return this.codecs.find(codec => codec.property === property)!
  }

  /** What the database makes of values, as the engine asks it. */
  hold(rows: readonly Record<string, Json>[]): Promise<Held[]> {
    const database = mysqlDatabase(this.dataSource)
    const collection = { entity: this.entity.options.name, table: { name: this.table }, columns: this.codecs } as unknown as Collection
    return database.transaction(() => readHeld(database, collection, rows), { mode: 'read' })
  }

  get repository() {
    return this.dataSource.getRepository(this.entity)
  }

  query(sql: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
    return send(this.raw, sql, values)
  }

  async readWire(id: string): Promise<Record<string, Json>> {
    const { codecs } = this
    const reads = codecs.map((codec, i) => `${codec.read(`t.\`${codec.column}\``)} AS c${i}`)
    const [row] = await this.query(`SELECT ${reads.join(', ')} FROM \`${this.table}\` t WHERE id = ?`, [id])
    return Object.fromEntries(codecs.map((codec, i) => [codec.property, codec.toWire(row![`c${i}`])]))
  }

  async storeWire(id: string, wire: Record<string, Json>): Promise<void> {
    const codecs = this.codecs.filter(codec => Object.hasOwn(wire, codec.property))
    const names = ['id', ...codecs.map(codec => `\`${codec.column}\``)]
    const placeholders = ['?', ...codecs.map(codec => codec.placeholder)]
    await this.query(`INSERT INTO \`${this.table}\` (${names.join(', ')}) VALUES (${placeholders.join(', ')})`, [
      id,
      ...codecs.map(codec => codec.fromWire(wire[codec.property]!)),
    ])
  }

  get table(): string {
    return this.dataSource.getMetadata(this.entity).tableName
  }
}

let opened = 0

function send(raw: Connection, sql: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
  return new Promise((resolve, reject) => {
    raw.query({ sql, values, typeCast }, (error, rows) => (error ? reject(error) : resolve(rows as Record<string, unknown>[])))
  })
}

function typeCast(field: { type: string; string(): string | null; buffer(): Buffer | null }, next: () => unknown): unknown {
  if (integers.includes(field.type)) {
    const text = field.string()
    const number = Number(text)
    return text === null ? null : Number.isInteger(number) && !Number.isSafeInteger(number) && !/e/i.test(text) ? text : number
  }
  if (['VAR_STRING', 'STRING', 'BLOB', 'TINY_BLOB', 'MEDIUM_BLOB', 'LONG_BLOB'].includes(field.type)) return next()
  return field.string()
}
