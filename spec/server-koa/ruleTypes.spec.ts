// Rules are typed by their entities, and by what `principal` gives. tsc checks what is said to be an error here.

import 'reflect-metadata'
import { expect, test } from '@jest/globals'
import { Column, type DataSource, Entity, EntitySchema, ManyToOne, PrimaryColumn, type Relation } from 'typeorm'
import { EnableSync, SyncedEntity } from 'typeorm-sync'
import { type SyncRequest, syncHandler } from 'typeorm-sync/server'
import { keys, type Principal, rule, type SyncRoutesOptions, syncRoutes } from 'typeorm-sync/server-koa'

@Entity('typed_list')
@EnableSync('/typedLists')
class List extends SyncedEntity {
  @PrimaryColumn('varchar')
  id!: string
  @Column('varchar')
  name!: string
}

@Entity('typed_member')
@EnableSync('/typedMembers', { scopes: ['list', 'user'] })
class Member extends SyncedEntity {
  @PrimaryColumn('varchar')
  id!: string
  @Column('varchar')
  user!: string
  @Column('varchar')
  role!: 'owner' | 'writer' | 'reader'
  @Column('int', { nullable: true })
  rank!: number | null
  @ManyToOne(() => List)
  list!: Relation<List>
}

interface Tag {
  id: string
  owner?: string | null
}
const Tag = new EntitySchema<Tag>({ name: 'TypedTag', columns: { id: { type: 'varchar', primary: true }, owner: { type: 'varchar' } } })

interface User extends Principal {
  readonly tenant: string
}
const find = (): User => ({ id: 'alice', tenant: 'acme' })
const never = (_: () => unknown) => {}

test('rules are typed by classes and schemas, without type arguments', () => {
  const mine = (p: Principal) => keys(Member, 'list', { user: p.id, role: ['owner', 'writer'], rank: null })
  const rules = [
    rule(List, { read: p => ({ id: mine(p) }), write: () => false }),
    rule(Member, { read: p => [{ list: mine(p) }, { user: p.id, role: 'owner' }], write: { update: () => true } }),
    rule(Tag, { read: p => ({ owner: [p.id, 'all'] }), write: p => ({ id: keys(Tag, 'id', { owner: p.id }) }) }),
  ]
  expect(rules.map(r => r.target)).toEqual([List, Member, Tag])
})

test('a word that an entity does not know is an error of the compiler', () => {
  never(() => [
    // @ts-expect-error a property that is none
    rule(Member, { read: p => ({ owner: p.id }) }),
    // @ts-expect-error of a schema
    rule(Tag, { read: p => ({ user: p.id }) }),
    // @ts-expect-error a role that is none
    rule(Member, { read: () => ({ role: 'ower' }) }),
    // @ts-expect-error a method
    rule(Member, { read: () => ({ save: 'x' }) }),
    // @ts-expect-error a path that leads nowhere
    rule(Member, { read: () => ({ 'list.nothing': 'x' }) }),
    // @ts-expect-error a promise: a rule is data
    rule(Member, { read: async p => ({ user: p.id }) }),
    // @ts-expect-error a property of memberships that is none
    keys(Member, 'project', {}),
    // @ts-expect-error another one
    keys(Member, 'list', { owner: 'x' }),
    // @ts-expect-error of another type
    keys(Member, 'list', { rank: '1' }),
    // @ts-expect-error no reader
    rule(Member, { write: () => true }),
  ])
})

test('rules know what `principal` gives', () => {
  const dataSource = {} as DataSource
  const byTenant = rule(Tag, { read: (p: User) => ({ owner: p.tenant }) })
  const all = rule(List, { read: () => true })
  syncRoutes(dataSource, { principal: find, rules: [byTenant, all, rule(Member, { read: p => ({ user: p.id }) })] })
  const options = { principal: find, rules: [byTenant, all] } satisfies SyncRoutesOptions<User>
  syncRoutes(dataSource, options)
  never(() =>
    // @ts-expect-error the principal has no tenant
    syncRoutes(dataSource, { principal: () => ({ id: 'a' }), rules: [byTenant] }),
  )
  syncHandler(dataSource, { principal: find, rules: [byTenant, all, rule(Member, { read: p => ({ user: p.id }) })] })
  syncHandler(dataSource, { principal: async ({ raw }: SyncRequest<{ user: User }>) => raw.user, rules: [byTenant] })
  never(() =>
    // @ts-expect-error the same
    syncHandler(dataSource, { principal: () => ({ id: 'a' }), rules: [byTenant] }),
  )
})
