// Databases are set up once, and serve one history after the other.

import { SimulatedDatabase } from './databases.js'
import type { Schema } from './schemas.js'
import type { ServerKind } from './topologies.js'

export const WALL = '(SELECT time FROM wall)'
const pool = new Map<string, SimulatedDatabase>()

export async function database(
  name: string,
  schema: Schema,
  lacksGained: boolean,
  kind: ServerKind,
  number: number,
): Promise<SimulatedDatabase> {
  const isOther = kind !== 'sqlite' && !name.startsWith('d')
  const type = isOther ? kind : name.startsWith('d') ? 'sqljs' : 'libsql'
  // what gains a column is another one afterwards
  if (schema.gained) return SimulatedDatabase.open(name, schema, type, WALL, { lacksGained })
  // connections are few: the servers of all topologies share their databases
  const key = `${schema.name} ${isOther ? number : name}`
  let known = pool.get(key)
  if (!known) {
    known = await SimulatedDatabase.open(name, schema, type, WALL)
    pool.set(key, known)
    await closeLongUnused(isOther)
  } else {
    pool.delete(key)
    pool.set(key, known)
  }
  known.name = name
  return known
}

/** Connections are few. */
async function closeLongUnused(isOther: boolean): Promise<void> {
  const others = [...pool].filter(([, db]) => db.other)
  if (!isOther || others.length <= 6) return
  const [key, db] = others[0] as [string, SimulatedDatabase]
  pool.delete(key)
  await db.close()
}
