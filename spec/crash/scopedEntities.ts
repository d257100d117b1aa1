// Items in lists, with parts, of which each device sees a part by the memberships of its user.

import { Column, Entity, ManyToOne, PrimaryColumn, type Relation } from 'typeorm'
import { keys, type Principal, type Rule, rule } from '../../server-koa/index.js'
import { enableSync } from '../../src/entity/enableSync.js'
import type { Process } from './process.js'

@Entity('member')
export class Member {
  @PrimaryColumn('varchar') id!: string
  @Column('varchar') user!: string
  @Column('varchar') list!: string
}

@Entity('item')
export class ListedItem {
  @PrimaryColumn('varchar') id!: string
  @Column('text', { nullable: true }) a!: string | null
  @Column('text', { nullable: true }) b!: string | null
  @Column('text', { nullable: true }) c!: string | null
  @Column('varchar') list!: string
}
enableSync(ListedItem, '/items', { scopes: ['list'] })

@Entity('part')
export class ListedPart {
  @PrimaryColumn('varchar') id!: string
  @Column('text', { nullable: true }) a!: string | null
  @Column('text', { nullable: true }) b!: string | null
  @Column('text', { nullable: true }) c!: string | null
  @Column('varchar', { nullable: true }) owner!: string | null
  @ManyToOne(() => ListedItem, { onDelete: 'CASCADE', nullable: true }) item!: Relation<ListedItem> | null
}
enableSync(ListedPart, '/parts', { scopes: ['item.list', 'owner'] })

export const SCOPED = [Member, ListedItem, ListedPart]

const listsOf = (p: Principal) => keys(Member, 'list', { user: p.id })

/** Who sees a row may move it anywhere. */
export const RULES: readonly Rule[] = [
  rule(ListedItem, { read: p => ({ list: listsOf(p) }), write: () => true }),
  rule<ListedPart>(ListedPart, {
    read: p => [{ 'item.list': listsOf(p) }, { owner: p.id }] as never,
    write: () => true,
    dangling: ['item'],
  }),
]

type Rows = Map<string, Record<string, unknown>>

/** The rows of the server that a user sees, and that can be stored without others: their items are seen as well. */
export function seenBy(server: Process, user: string, all: Rows): Rows {
  const lists = new Set(server.look('SELECT list FROM member WHERE "user" = ?', user).map(row => row.list))
  const isSeen = (row: Record<string, unknown> | undefined) => row !== undefined && lists.has(row.list as string)
  return new Map(
    [...all].filter(([name, row]) =>
      name.startsWith('item ') ? isSeen(row) : row.itemId === null ? row.owner === user : isSeen(all.get(`item ${row.itemId}`)),
    ),
  )
}

const REMEMBERED = [
  ['sync_rejection', 'id'],
  ['sync_base_item', '_sync_id'],
  ['sync_base_part', '_sync_id'],
  ['sync_resolution', 'row_id'],
] as const

/** What a device still knows of rows that are not in its tables, nor removed, nor deferred; unpushed work that is kept apart does not count. */
export function remainsOf(device: Process, rows: Rows): string[] {
  const ids = new Set([...rows.keys()].map(name => name.split(' ')[1]))
  const known = device.look('SELECT id FROM sync_tombstone UNION SELECT id FROM sync_unapplied')
  for (const { id } of known) ids.add(String(id))
  return REMEMBERED.flatMap(([table, key]) =>
    device
      .look(`SELECT "${key}" AS id FROM "${table}"`)
      .filter(({ id }) => !ids.has(String(id)))
      .map(({ id }) => `${table} ${id}`),
  )
}
