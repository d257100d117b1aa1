// Links between rows, which an application makes and removes, and nobody is ever asked about.

import type { SimulatedDatabase } from './databases.js'
import { isGone } from './oracle.js'
import type { World } from './world.js'

const columnsOf = ({ schema }: World) => (schema.tables[0]?.isNumbered ? ['_sync_to_item', '_sync_to_other'] : ['item', 'other'])

export function linksIn(w: World, db: SimulatedDatabase): string[] {
  if (!w.schema.linked) return []
  const [toItem, toOther] = columnsOf(w)
  return db.run(`SELECT ${toItem} AS item, ${toOther} AS other FROM link ORDER BY 1, 2`).map(({ item, other }) => `${item} ${other}`)
}

/** Makes a link, or removes the one that is there. */
export function writeLink(w: World, db: SimulatedDatabase): void {
  const { schema } = w
  const [item, other] = ['item', schema.linked].map(name => w.random.pick(schema.tables.find(t => t.name === name)?.ids ?? []))
  const name = `${item} ${other}`
  const [toItem, toOther] = columnsOf(w)
  if (linksIn(w, db).includes(name)) {
    if (w.features.keepsLinks) return
    w.unlinked.add(name)
    db.run(`DELETE FROM link WHERE ${toItem} = ? AND ${toOther} = ?`, item, other)
  } else if (![item, other].some(id => isGone(w.snapshot(db).get(id as string))))
    db.run(
      'INSERT INTO link (item, other) VALUES (?, ?)',
      ...[
        ['item', item],
        [schema.linked, other],
      ].map(([table, id]) => (schema.tables[0]?.isNumbered ? db.numberOf(String(table), id) : id)),
    )
  w.trace(`  ${db.name} ${linksIn(w, db).includes(name) ? 'links' : 'does not link'} ${name}`)
}

/** Links that nobody removed, and that are gone in the end. A link goes with its row, and is not there again where the row is. */
export function lostLinks(w: World): string[] {
  const { oracle, linked, unlinked } = w
  if (!oracle.isWhole) return []
  const stays = (name: string) => !unlinked.has(name) && !name.split(' ').some(id => oracle.removed.has(id))
  const there = new Set(linksIn(w, [...w.databases.values()][0] as SimulatedDatabase))
  return [...linked].filter(name => stays(name) && !there.has(name)).map(name => `the link ${name} is lost`)
}
