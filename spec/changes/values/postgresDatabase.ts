import { Client, type CustomTypesConfig } from 'pg'
import { DataSource, EntitySchema } from 'typeorm'
import { type ColumnCodec, describeColumns } from '../../../src/changes/values.js'
import type { Json } from '../../../src/protocol/messages.js'
import { databaseUrl, postgresUrl } from '../../support/postgresServer.js'
import { columns } from './postgresColumns.js'

// what the engine asks of pg: text, but for numbers and booleans
const parsers: Record<number, (text: string) => unknown> = {
  16: text => text === 't',
  20: text => (Number.isSafeInteger(Number(text)) ? Number(text) : text),
  21: Number,
  23: Number,
  700: Number,
  701: Number,
}
const raw: CustomTypesConfig = { getTypeParser: ((oid: number) => parsers[oid] ?? String) as CustomTypesConfig['getTypeParser'] }

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
  ) {}

  static async create(): Promise<PostgresDatabase> {
    const name = `sync_values_pg_${process.pid}`
    await administer(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`, `CREATE DATABASE ${name}`)
    const url = databaseUrl(name)
    const client = new Client({ connectionString: url })
    await client.connect()
    for (const extension of ['citext', 'hstore', 'ltree', 'cube']) await client.query(`CREATE EXTENSION ${extension}`)
    const dataSource = await new DataSource({ type: 'postgres', url, entities: [Everything], synchronize: true, poolSize: 1 }).initialize()
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

  async read(id: string, names: Iterable<string> = this.codecs.keys()): Promise<Record<string, Json>> {
    const list = [...names].map(name => this.codec(name))
    const expressions = list.map((codec, i) => `${codec.read(`x."${codec.column}"`)} AS c${i}`)
    const text = `SELECT ${expressions.join(', ')} FROM everything x WHERE id = $1`
    const { rows } = await this.client.query({ text, values: [id], types: raw })
    return Object.fromEntries(list.map((codec, i) => [codec.property, codec.toWire(rows[0][`c${i}`])]))
  }

  /** Stores one row as the engine does, in bulk: through JSON. */
  async store(id: string, values: Record<string, Json>): Promise<void> {
    const names = Object.keys(values)
    const row = Object.fromEntries(names.map(name => [name, this.codec(name).fromWire(values[name] as Json)]))
    await this.client.query(
      `INSERT INTO everything (id, ${names.map(name => `"${name}"`).join(', ')})
       SELECT $1, ${names.map(name => `CAST(r."${name}" AS ${this.catalogTypes.get(name)})`).join(', ')}
       FROM json_to_recordset($2::json) AS r(${names.map(name => `"${name}" text`).join(', ')})`,
      [id, JSON.stringify([row])],
    )
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
