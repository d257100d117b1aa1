import { Client } from 'pg'
import { DataSource, EntitySchema } from 'typeorm'
import type { Collection } from '../../../src/changes/collections/collection.js'
import { type Held, readHeld } from '../../../src/changes/rows/held.js'
import { type ColumnCodec, describeColumns } from '../../../src/databases/columns.js'
import { type Database, queryCells, type Transaction } from '../../../src/databases/database.js'
import { loadKind } from '../../../src/databases/open.js'
import { postgresDatabase } from '../../../src/databases/postgres/database.js'
import type { Json } from '../../../src/protocol/messages.js'
import { databaseUrl, postgresUrl } from '../../support/postgresServer.js'
import { columns } from './postgresColumns.js'

export const Everything = new EntitySchema<Record<string, unknown>>({
  name: 'Everything',
  tableName: 'everything',
  columns: {
    id: { type: String, primary: true },
    ...Object.fromEntries(Object.entries(columns).map(([name, { options }]) => [name, { nullable: true, ...options }])),
  },
})

/** A database of its own, with a table that has a column of every type. */
export class PostgresDatabase {
  private constructor(
    readonly name: string,
    readonly dataSource: DataSource,
    readonly client: Client,
    readonly codecs: ReadonlyMap<string, ColumnCodec>,
    readonly catalogTypes: ReadonlyMap<string, string>,
    readonly database: Database,
  ) {}

  /** As far as `readHeld` looks at it. */
  private get collection(): Collection {
    return { entity: 'Everything', table: { name: 'everything' }, columns: [...this.codecs.values()] } as unknown as Collection
  }

  static async create(): Promise<PostgresDatabase> {
    const name = `sync_values_pg_${process.pid}`
    await administer(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`, `CREATE DATABASE ${name}`)
    const url = databaseUrl(name)
    const client = new Client({ connectionString: url })
    await client.connect()
    for (const extension of ['citext', 'hstore', 'ltree', 'cube']) await client.query(`CREATE EXTENSION ${extension}`)
    const dataSource = await new DataSource({ type: 'postgres', url, entities: [Everything], synchronize: true, poolSize: 1 }).initialize()
    await loadKind(dataSource)
    const codecs = describeColumns(dataSource.getMetadata(Everything), dataSource)
    const { rows } = await client.query(
      `SELECT attname AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute WHERE attrelid = 'everything'::regclass AND attnum > 0`,
    )
    return new PostgresDatabase(
      name,
      dataSource,
      client,
      new Map(codecs.map(codec => [codec.property, codec])),
      new Map(rows.map(row => [row.name, row.type])),
      postgresDatabase(dataSource),
    )
  }

  async drop(): Promise<void> {
    await this.client.end()
    await this.dataSource.destroy()
    await administer(`DROP DATABASE ${this.name} WITH (FORCE)`)
  }

  codec(name: string): ColumnCodec {
    const codec = this.codecs.get(name)
    if (!codec) throw new Error(`no column ${name}`)
    return codec
  }

  /** Reads a row as the engine does. */
  read(id: string, names: Iterable<string> = this.codecs.keys()): Promise<Record<string, Json>> {
    return this.database.transaction(() => this.readStep(id, [...names]), { mode: 'read' })
  }

  *readStep(id: string, names: readonly string[]): Transaction<Record<string, Json>> {
    const codecs = names.map(name => this.codec(name))
    const expressions = codecs.map((codec, i) => `${codec.read(`x."${codec.column}"`)} AS c${i}`)
    const [cells] = yield* queryCells(`SELECT ${expressions.join(', ')} FROM everything x WHERE id = ?`, id)
    return Object.fromEntries(codecs.map((codec, i) => [codec.property, codec.toWire(cells![i])]))
  }

  /** Stores one row as the engine does. */
  store(id: string, values: Record<string, Json>): Promise<void> {
    return this.database.transaction(() => this.storeStep(id, values), { mode: 'setUp' })
  }

  storeStep(id: string, values: Record<string, Json>): Transaction<void> {
    const codecs = Object.keys(values).map(name => this.codec(name))
    const row = [id, ...codecs.map(codec => codec.fromWire(values[codec.property] as Json))]
    return this.database.insertRows('everything', ['id', ...codecs], [row])
  }

  /** What the database makes of values, as the engine asks it. */
  hold(rows: readonly Record<string, Json>[]): Promise<Held[]> {
    return this.database.transaction(() => readHeld(this.database, this.collection, rows), { mode: 'setUp' })
  }

  async canonical(values: Record<string, Json>): Promise<Record<string, Json>> {
    const [held] = await this.hold([values])
    if (held?.errors.length) throw held.errors[0]
    return held!.value
  }

  async find(id: string): Promise<Record<string, unknown>> {
    return this.dataSource.getRepository(Everything).findOneByOrFail({ id })
  }
}

async function administer(...statements: string[]): Promise<void> {
  const client = new Client({ connectionString: postgresUrl })
  await client.connect()
  for (const statement of statements) await client.query(statement)
  await client.end()
}
