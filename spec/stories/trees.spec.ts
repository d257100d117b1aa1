// Trees of TypeORM's: what it keeps beside the parents follows from these, on each database by itself.

import 'reflect-metadata'
import { describe, expect, test } from '@jest/globals'
import {
  Column,
  type DataSource,
  Entity,
  JoinColumn,
  type ObjectLiteral,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  type Relation,
  Tree,
  TreeChildren,
  TreeParent,
} from 'typeorm'
import { EnableSync, hasLocalChanges, journal, preferRemoteConflictHandler, syncAll } from 'typeorm-sync'
import { openOn, SERVERS, serve, sql } from '../support/eachDatabase.js'

@Entity('folder')
@EnableSync('/folders')
@Tree('materialized-path')
class Folder {
  @PrimaryColumn('varchar', { length: 36 })
  id!: string

  @Column('varchar', { length: 50, default: '' })
  name!: string

  @TreeParent({ onDelete: 'CASCADE' })
  parent!: Relation<Folder> | null

  @TreeChildren()
  children!: Relation<Folder>[]
}

@Entity('area')
@EnableSync('/areas')
@Tree('closure-table')
class Area {
  @PrimaryColumn('varchar', { length: 36 })
  id!: string

  @Column('varchar', { length: 50, default: '' })
  name!: string

  @TreeParent({ onDelete: 'CASCADE' })
  parent!: Relation<Area> | null

  @TreeChildren()
  children!: Relation<Area>[]
}

@Entity('shelf')
@EnableSync('/shelves')
@Tree('materialized-path')
class Shelf {
  @PrimaryColumn('varchar', { length: 36 })
  shop!: string

  @PrimaryColumn('integer')
  number!: number

  @TreeParent()
  @JoinColumn([
    { name: 'aboveNumber', referencedColumnName: 'number' },
    { name: 'aboveShop', referencedColumnName: 'shop' },
  ])
  parent!: Relation<Shelf> | null

  @TreeChildren()
  children!: Relation<Shelf>[]
}

@Entity('branch')
@EnableSync('/branches')
@Tree('closure-table', { closureTableName: 'twig', ancestorColumnName: () => 'up', descendantColumnName: () => 'down' })
class Branch {
  @PrimaryGeneratedColumn('uuid')
  id!: string

  @TreeParent()
  parent!: Relation<Branch> | null

  @TreeChildren()
  children!: Relation<Branch>[]
}

@Entity('plain')
@EnableSync('/plains')
@Tree('adjacency-list')
class Plain {
  @PrimaryColumn('varchar', { length: 36 })
  id!: string

  @TreeParent()
  parent!: Relation<Plain> | null

  @TreeChildren()
  children!: Relation<Plain>[]
}

// as in TypeORM's documentation: each database counts its rows
@Entity('topic')
@EnableSync('/topics')
@Tree('materialized-path')
class Topic {
  @PrimaryGeneratedColumn()
  id!: number

  @Column('varchar', { length: 50 })
  name!: string

  @TreeParent({ onDelete: 'CASCADE' })
  parent!: Relation<Topic> | null

  @TreeChildren()
  children!: Relation<Topic>[]
}

@Entity('category')
@EnableSync('/categories')
@Tree('closure-table')
class Category {
  @PrimaryGeneratedColumn()
  id!: number

  @Column('varchar', { length: 50 })
  name!: string

  @TreeParent({ onDelete: 'CASCADE' })
  parent!: Relation<Category> | null

  @TreeChildren()
  children!: Relation<Category>[]
}

@Entity('place')
@EnableSync('/places')
@Tree('adjacency-list')
class Place {
  @PrimaryGeneratedColumn()
  id!: number

  @Column('varchar', { length: 50 })
  name!: string

  @TreeParent({ onDelete: 'CASCADE' })
  parent!: Relation<Place> | null

  @TreeChildren()
  children!: Relation<Place>[]
}

const ENTITIES = [Folder, Area, Shelf, Branch, Plain]
type Node = ObjectLiteral & { id: string; children: Node[] }
const shapeOf = (nodes: readonly Node[]): string =>
  [...nodes]
    .sort((x, y) => (x.id < y.id ? -1 : 1))
    .map(({ id, children }) => id + (children.length ? `(${shapeOf(children)})` : ''))
    .join(' ')
/** As TypeORM reads the tree. */
const treeOf = async (who: DataSource, entity: typeof Folder | typeof Area) =>
  shapeOf((await who.getTreeRepository<Node>(entity as never).findTrees()) as Node[])
const above = async (who: DataSource, entity: typeof Folder | typeof Area, id: string) => {
  const repository = who.getTreeRepository<Node>(entity as never)
  return (await repository.findAncestors({ id } as Node)).map(node => node.id).sort()
}
const kept = async (who: DataSource) => ({
  mpath: (await sql(who, 'SELECT "id", "mpath" FROM "folder" ORDER BY "id"')).map((f: any) => `${f.id} ${f.mpath}`),
  closure: (await sql(who, 'SELECT * FROM "area_closure"')).map((a: any) => `${a.id_ancestor} ${a.id_descendant}`).sort(),
})

describe.each(SERVERS)('on %s', kind => {
  async function start() {
    const server = await openOn(kind, ENTITIES)
    const { url } = await serve(server)
    const alice = await openOn('sqljs', ENTITIES, { server: url })
    const bob = await openOn(kind, ENTITIES, { server: url })
    const both = async () => {
      for (const who of [alice, bob, alice]) await syncAll(who)
      const expected = await kept(server)
      for (const who of [alice, bob]) {
        expect(await kept(who)).toEqual(expected)
        expect(await hasLocalChanges(who)).toBe(false)
      }
    }
    return { server, alice, bob, both }
  }

  test.each([Folder, Area])('%p: a tree is the same on the other device, and moves', async entity => {
    const { server, alice, bob, both } = await start()
    const node = (id: string, parent: string | null = null) => ({ id, parent: parent === null ? null : { id: parent } })
    const save = async (who: DataSource, ...nodes: { id: string; parent: unknown }[]) => {
      for (const each of nodes) await who.getTreeRepository<Node>(entity as never).save(each as never)
    }
    await save(alice, node('a'), node('b', 'a'), node('c', 'b'), node('d', 'a'))
    await both()
    for (const who of [server, bob]) expect(await treeOf(who, entity)).toBe('a(b(c) d)')
    expect(await above(bob, entity, 'c')).toEqual(['a', 'b', 'c'])
    // below what came from elsewhere, and a move that takes others along
    await save(bob, node('e', 'c'), node('b', 'd'))
    await both()
    for (const who of [server, alice]) expect(await treeOf(who, entity)).toBe('a(d(b(c(e))))')
    expect(await above(alice, entity, 'e')).toEqual(['a', 'b', 'c', 'd', 'e'])
    const table = entity === Folder ? 'folder' : 'area'
    await sql(server, `UPDATE "${table}" SET "name" = 'x'`)
    await both()
    // two devices move each another part of one branch
    await save(alice, node('c', 'a'))
    await save(bob, node('e', 'd'))
    await both()
    for (const who of [server, alice, bob]) expect(await treeOf(who, entity)).toBe('a(c d(b e))')
    // and one below the other: the server's move counts
    await save(alice, node('c', 'd'))
    await save(bob, node('d', 'c'))
    await syncAll(alice)
    await syncAll(bob, preferRemoteConflictHandler)
    await both()
    for (const who of [server, alice, bob]) expect(await treeOf(who, entity)).toBe('a(d(b c e))')
    await alice.getRepository<Node>(entity as never).delete('d')
    await both()
    for (const who of [server, bob]) expect(await treeOf(who, entity)).toBe('a')
    expect(await journal(bob.getRepository<Node>(entity as never)).conflicts()).toEqual([])
  })

  test.each([Topic, Category, Place])('%p: a tree of rows that each database counts', async entity => {
    type Counted = ObjectLiteral & { id: number; name: string; children: Counted[] }
    const server = await openOn(kind, [entity])
    const { url } = await serve(server)
    const alice = await openOn('sqljs', [entity], { server: url })
    const bob = await openOn(kind, [entity], { server: url })
    const treesOf = (who: DataSource) => who.getTreeRepository<Counted>(entity as never)
    const named = (who: DataSource, name: string) => treesOf(who).findOneByOrFail({ name } as never)
    const save = async (who: DataSource, name: string, above?: string) => {
      const known = await treesOf(who).findOneBy({ name } as never)
      await treesOf(who).save({ ...known, name, parent: above === undefined ? null : await named(who, above) } as never)
    }
    const shape = (nodes: readonly Counted[]): string =>
      [...nodes]
        .sort((x, y) => (x.name < y.name ? -1 : 1))
        .map(({ name, children }) => name + (children.length ? `(${shape(children)})` : ''))
        .join(' ')
    const both = async (expected: string) => {
      for (const who of [alice, bob, alice]) await syncAll(who)
      for (const who of [server, alice, bob]) {
        expect(await hasLocalChanges(who)).toBe(false)
        if (entity === Place) {
          // TypeORM itself reads no such tree
          const nodes = await treesOf(who).find({ relations: { parent: true, children: true } } as never)
          const withChildren = (node: Counted): Counted => ({
            ...node,
            children: nodes.filter(n => n.parent?.id === node.id).map(withChildren),
          })
          expect(shape(nodes.filter(n => !n.parent).map(withChildren))).toBe(expected)
          continue
        }
        expect(shape(await treesOf(who).findTrees())).toBe(expected)
        const below = await treesOf(who).findDescendants(await named(who, 'a'))
        expect(below).toHaveLength((expected.match(/\w/g) as string[]).length)
        for (const node of below) expect((await treesOf(who).findAncestors(node)).map(n => n.name)).toContain('a')
      }
    }
    // the numbers are others on each
    for (const [who, count] of [
      [alice, 1],
      [bob, 3],
    ] as const) {
      for (let i = 0; i < count; i++) await save(who, `gone${i}`)
      await who
        .getRepository<Counted>(entity as never)
        .createQueryBuilder()
        .delete()
        .execute()
    }
    await save(alice, 'a')
    await save(alice, 'b', 'a')
    await save(alice, 'c', 'b')
    await both('a(b(c))')
    await save(bob, 'd', 'a')
    await save(bob, 'e', 'c')
    await both('a(b(c(e)) d)')
    // below another one, with all below it
    if (entity === Category) await save(bob, 'c', 'd')
    else await save(bob, 'b', 'd')
    await both(entity === Category ? 'a(b d(c(e)))' : 'a(d(b(c(e))))')
    await alice.getRepository<Counted>(entity as never).delete({ name: 'c' } as never)
    await both(entity === Category ? 'a(b d)' : 'a(d(b))')
  })

  test('a device that comes later has all of it, children before parents too', async () => {
    const { server, alice, both } = await start()
    for (const entity of [Folder, Area]) {
      const trees = alice.getTreeRepository<Node>(entity as never)
      for (const id of ['z', 'y', 'x', 'w'])
        await trees.save({ id, parent: id === 'z' ? null : { id: String.fromCharCode(id.charCodeAt(0) + 1) } } as never)
    }
    await both()
    const { url } = await serve(server)
    const carol = await openOn('sqljs', ENTITIES, { server: url })
    await syncAll(carol)
    for (const entity of [Folder, Area]) expect(await treeOf(carol, entity)).toBe('z(y(x(w)))')
    expect(await kept(carol)).toEqual(await kept(server))
  })

  test('a tree whose key has several columns, and one of which nothing is kept', async () => {
    const { server, alice, bob } = await start()
    const shelves = alice.getTreeRepository(Shelf)
    await shelves.save({ shop: 's', number: 1, parent: null })
    await shelves.save({ shop: 's', number: 2, parent: { shop: 's', number: 1 } })
    await alice.getRepository(Plain).save([{ id: 'p', parent: null }])
    await alice.getRepository(Plain).save([{ id: 'q', parent: { id: 'p' } }])
    const branches = alice.getTreeRepository(Branch)
    const root = await branches.save({ parent: null })
    const leaf = await branches.save({ parent: await branches.save({ parent: root }) })
    for (const who of [alice, bob]) await syncAll(who)
    for (const who of [server, bob]) {
      expect(await who.getTreeRepository(Branch).countAncestors(leaf)).toBe(3)
      expect(await who.getTreeRepository(Branch).countDescendants(root)).toBe(3)
    }
    const paths = async (who: DataSource) => (await sql(who, 'SELECT "mpath" FROM "shelf" ORDER BY "number"')).map((s: any) => s.mpath)
    expect(await paths(bob)).toEqual(await paths(alice))
    expect(await paths(server)).toEqual(await paths(alice))
    expect(await paths(alice)).toEqual(['s_1.', 's_1.s_2.'])
    expect(await bob.getRepository(Plain).find({ relations: { parent: true }, order: { id: 'ASC' } })).toEqual([
      { id: 'p', parent: null },
      { id: 'q', parent: { id: 'p' } },
    ])
  })
})
