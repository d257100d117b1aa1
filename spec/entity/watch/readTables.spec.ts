// Which tables a find reads.

import 'reflect-metadata'
import { expect, test } from '@jest/globals'
import {
  ChildEntity,
  Column,
  DataSource,
  Entity,
  type EntitySubscriberInterface,
  type FindManyOptions,
  In,
  JoinTable,
  ManyToMany,
  ManyToOne,
  Not,
  OneToMany,
  Or,
  PrimaryColumn,
  Raw,
  type Relation,
  RelationId,
  TableInheritance,
  ViewColumn,
  ViewEntity,
  VirtualColumn,
} from 'typeorm'
import { tablesReadBy } from '../../../src/entity/watch/readTables.js'

class Place {
  @ManyToOne(() => City)
  city!: Relation<City>
}

@Entity()
class City {
  @PrimaryColumn('varchar')
  id!: string
}

@Entity()
class Person {
  @PrimaryColumn('varchar')
  id!: string
  @Column(() => Place)
  home!: Place
  // two that lead to each other
  @ManyToOne(() => Pet, { eager: true })
  favourite!: Relation<Pet>
  @OneToMany(() => Pet, 'owner')
  pets!: Relation<Pet>[]
}

@Entity()
@TableInheritance({ column: { name: 'type', type: 'varchar' } })
class Pet {
  @PrimaryColumn('varchar')
  id!: string
  @ManyToOne(() => Person)
  owner!: Relation<Person>
  @ManyToMany(() => Toy)
  @JoinTable({ name: 'pet_toy' })
  toys!: Relation<Toy>[]
}

@ChildEntity()
class Bird extends Pet {
  @ManyToOne(() => Cage, { eager: true })
  cage!: Relation<Cage>
}

@Entity()
class Cage {
  @PrimaryColumn('varchar')
  id!: string
}

@Entity()
class Toy {
  @PrimaryColumn('varchar')
  id!: string
}

@Entity()
class Owner {
  @PrimaryColumn('varchar')
  id!: string
  @ManyToMany(() => Toy)
  @JoinTable({ name: 'owner_toy' })
  toys!: Relation<Toy>[]
  @RelationId((owner: Owner) => owner.toys)
  toyIds!: string[]
}

@Entity()
class Counted {
  @PrimaryColumn('varchar')
  id!: string
  @VirtualColumn({ query: () => 'SELECT count(*) FROM toy' })
  count!: number
}

@ViewEntity({ expression: 'SELECT id FROM toy' })
class Seen {
  @ViewColumn()
  id!: string
}

const entities = [City, Person, Pet, Bird, Cage, Toy, Owner, Counted, Seen]

/** What is said of a find; what it really reads has to be among it. */
async function tables<E extends object>(entity: new () => E, options?: FindManyOptions<E>): Promise<string[] | undefined> {
  const dataSource = await new DataSource({ type: 'sqljs', entities, synchronize: true }).initialize()
  const said = tablesReadBy(dataSource.getMetadata(entity), options)
  const read = new Set<string>()
  const subscriber: EntitySubscriberInterface = {
    afterQuery({ query }) {
      for (const [, name] of query.matchAll(/(?:FROM|JOIN|,) "(\w+)" "/g)) read.add(name!)
    },
  }
  ;(dataSource.subscribers as EntitySubscriberInterface[]).push(subscriber)
  await dataSource
    .getRepository(entity)
    .insert({ id: 'a' } as never)
    .catch(() => {}) // relations are read for the rows that there are
  await dataSource.manager.find(entity, options)
  await dataSource.destroy()
  expect(read.size).toBeGreaterThan(0)
  if (said) expect([...said]).toEqual(expect.arrayContaining([...read]))
  return said && [...said].sort()
}

test('its own, those of eager relations, and those of the children in its table', async () => {
  expect(await tables(City)).toEqual(['city'])
  expect(await tables(Person)).toEqual(['cage', 'person', 'pet'])
  expect(await tables(Pet)).toEqual(['cage', 'pet'])
  expect(await tables(Bird)).toEqual(['cage', 'pet'])
  expect(await tables(Bird, { loadEagerRelations: false })).toEqual(['pet'])
  expect(await tables(Owner)).toEqual(['owner', 'owner_toy', 'toy'])
})

test.each<[string, FindManyOptions<Pet>]>([
  ['relations', { relations: { toys: true } }],
  ['where', { where: { toys: { id: 'ball' } } }],
  ['a list in where', { where: [{ id: 'a' }, { toys: { id: In(['ball']) } }] }],
  ['order', { order: { toys: { id: 'ASC' } } }],
  ['select', { select: { id: true, toys: { id: true } }, relations: { toys: true } }],
])('those of relations in %s, with their links', async (_, options) => {
  expect(await tables(Pet, options)).toEqual(['cage', 'pet', 'pet_toy', 'toy'])
})

test('those of relations of relations, and in what is embedded', async () => {
  expect(await tables(City, {})).toEqual(['city'])
  expect(await tables(Person, { relations: { pets: { toys: true } }, loadEagerRelations: false })).toEqual([
    'person',
    'pet',
    'pet_toy',
    'toy',
  ])
  expect(await tables(Person, { where: { home: { city: { id: 'x' } } }, loadEagerRelations: false })).toEqual(['city', 'person'])
  expect(await tables(Pet, { relations: { owner: false, toys: undefined } })).toEqual(['cage', 'pet'])
  expect(await tables(Pet, { loadRelationIds: true })).toEqual(['cage', 'person', 'pet', 'pet_toy', 'toy'])
})

test('those of a relation whose value is an entity', async () => {
  const owner = Object.assign(new Person(), { id: 'p' })
  expect(await tables(Pet, { where: { owner }, loadEagerRelations: false })).toEqual(['person', 'pet'])
})

test('of SQL only the database knows', async () => {
  expect(await tables(Pet, { where: { id: Raw(alias => `${alias} IN (SELECT id FROM toy)`) } })).toBeUndefined()
  expect(await tables(Pet, { where: { id: Not(Raw(alias => `${alias} = 'a'`)) } })).toBeUndefined()
  expect(
    await tables(Pet, {
      where: {
        owner: {
          id: Or(
            In(['a']),
            Raw(alias => `${alias} = 'b'`),
          ),
        },
      },
    }),
  ).toBeUndefined()
  expect(await tables(Counted)).toBeUndefined()
  expect(await tables(Seen)).toBeUndefined()
})
