// Entities whose key is a number that the application gives: countries by their code, and what shares the key of a numbered row.

import 'reflect-metadata'
import { describe, expect, test } from '@jest/globals'
import {
  Column,
  DataSource,
  type DataSourceOptions,
  Entity,
  JoinColumn,
  JoinTable,
  ManyToMany,
  ManyToOne,
  OneToOne,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  type Relation,
  Tree,
  TreeChildren,
  TreeParent,
} from 'typeorm'
import { EnableSync, hasLocalChanges, journal, preferLocalConflictHandler, resolveEach, syncAll } from 'typeorm-sync'
import { keys, rule } from 'typeorm-sync/server-koa'
import { databaseOn, openIn, openOn, SERVERS, serve, sql } from '../support/eachDatabase.js'

@Entity('country')
@EnableSync('/countries')
class Country {
  @PrimaryColumn()
  id!: number

  @Column('varchar', { length: 50 })
  name!: string

  @Column('varchar', { length: 50, nullable: true })
  anthem!: string | null
}

@Entity('language')
@EnableSync('/languages')
class Language {
  @PrimaryColumn('bigint')
  code!: string

  @Column('varchar', { length: 50 })
  name!: string
}

@Entity('city')
@EnableSync('/cities')
class City {
  @PrimaryGeneratedColumn('uuid')
  id!: string

  @Column('varchar', { length: 50 })
  name!: string

  @ManyToOne(() => Country, { onDelete: 'CASCADE' })
  country!: Relation<Country>

  @ManyToOne(() => Language, { onDelete: 'SET NULL', nullable: true })
  official!: Relation<Language> | null

  @ManyToMany(() => Language)
  @JoinTable()
  spoken!: Relation<Language>[]
}

/** Its key is that of its country. */
@Entity('flag')
@EnableSync('/flags')
class Flag {
  @PrimaryColumn()
  countryId!: number

  @OneToOne(() => Country, { onDelete: 'CASCADE' })
  @JoinColumn({ name: 'countryId' })
  country!: Relation<Country>

  @Column('varchar', { length: 50 })
  colors!: string
}

@Entity('person')
@EnableSync('/people')
class Person {
  @PrimaryGeneratedColumn()
  id!: number

  @Column('varchar', { length: 50 })
  name!: string
}

/** Its key is a number that each database counts for itself. */
@Entity('profile')
@EnableSync('/profiles')
class Profile {
  @PrimaryColumn()
  personId!: number

  @OneToOne(() => Person, { onDelete: 'CASCADE' })
  @JoinColumn({ name: 'personId' })
  person!: Relation<Person>

  @Column('varchar', { length: 50 })
  bio!: string
}

@Entity('account')
@EnableSync('/accounts')
@Tree('materialized-path')
class Account {
  @PrimaryColumn()
  id!: number

  @Column('varchar', { length: 50 })
  name!: string

  @TreeParent()
  parent!: Relation<Account> | null

  @TreeChildren()
  children!: Relation<Account>[]
}

const ENTITIES = [Country, Language, City, Flag]

/** TypeORM reads a bigint as a text or as a number, by the database. */
const withText = ({ code, name }: Language) => ({ code: String(code), name })

const find = async (who: DataSource) => {
  const rows = async (entity: new () => object, reading: () => Promise<unknown>) => (who.hasMetadata(entity) ? reading() : [])
  return {
    countries: await rows(Country, () => who.getRepository(Country).find({ order: { id: 'ASC' } })),
    languages: await rows(Language, async () => (await who.getRepository(Language).find({ order: { code: 'ASC' } })).map(withText)),
    cities: await rows(City, async () => {
      const cities = await who
        .getRepository(City)
        .find({ relations: { country: true, official: true, spoken: true }, order: { name: 'ASC' } })
      return cities.map(({ spoken, official, ...city }) => ({
        ...city,
        official: official && withText(official),
        spoken: spoken.map(l => l.name).sort(),
      }))
    }),
    flags: await rows(Flag, () => who.getRepository(Flag).find({ relations: { country: true }, order: { countryId: 'ASC' } })),
    profiles: await rows(Profile, async () =>
      (await who.getRepository(Profile).find({ relations: { person: true }, order: { bio: 'ASC' } })).map(p => [p.bio, p.person.name]),
    ),
    accounts: await rows(Account, () => who.getTreeRepository(Account).findTrees()),
  }
}

async function expectEqual(all: readonly DataSource[]): Promise<void> {
  const [first, ...others] = await Promise.all(all.map(find))
  for (const other of others) expect(other).toEqual(first)
}

class Change1700000000000 {
  async up(runner: { query(text: string): Promise<unknown>; connection: DataSource }): Promise<void> {
    await sql(runner.connection, `UPDATE "country" SET "name" = 'Helvetia' WHERE "id" = 756`)
  }

  async down(): Promise<void> {}
}

describe.each(SERVERS)('on %s', kind => {
  async function start(entities: (new () => object)[] = [Country]) {
    const server = await openOn(kind, entities)
    const { url, post, errors } = await serve(server)
    const alice = await openOn('sqljs', entities, { server: url })
    const bob = await openOn(kind, entities, { server: url })
    const both = async () => {
      for (const who of [alice, bob, alice]) await syncAll(who)
      await expectEqual([server, alice, bob])
      for (const who of [alice, bob]) expect(await hasLocalChanges(who)).toBe(false)
    }
    return { server, url, post, errors, alice, bob, both }
  }

  test('rows travel with what refers to them, change, merge and go', async () => {
    const { server, url, alice, bob, both } = await start(ENTITIES)
    await alice.getRepository(Country).save([
      { id: 756, name: 'Switzerland' },
      { id: 40, name: 'Austria' },
      { id: -1, name: 'Atlantis' },
    ])
    const languages = await alice.getRepository(Language).save([
      { code: '9000000000000001', name: 'German' },
      { code: '2', name: 'French' },
    ])
    const [german, french] = languages as [Language, Language]
    await alice.getRepository(City).save({ name: 'Bern', country: { id: 756 }, official: german, spoken: languages })
    await bob.getRepository(Country).save({ id: 276, name: 'Germany' })
    await bob.getRepository(Flag).save({ countryId: 276, colors: 'black, red, gold' })
    await both()
    expect(
      (await bob.getRepository(City).findOneOrFail({ relations: { country: true, official: true, spoken: true }, where: {} })).spoken,
    ).toHaveLength(2)
    const { updates } = await (await fetch(`${url}/countries`)).json()
    expect(updates).toContainEqual({ id: '756', _id: 756, name: 'Switzerland', anthem: null, _lastChange: expect.any(Number) })
    expect((await (await fetch(`${url}/cities`)).json()).updates).toMatchObject([{ country: '756', official: '9000000000000001' }])

    // to different properties of one row
    await alice.getRepository(Country).update(756, { name: 'Suisse' })
    await sql(bob, `UPDATE "country" SET "anthem" = 'Swiss Psalm' WHERE "id" = 756`)
    await bob
      .createQueryBuilder()
      .relation(City, 'spoken')
      .of(await bob.getRepository(City).findOneByOrFail({}))
      .remove(french)
    await both()
    expect(await server.getRepository(Country).findOneBy({ id: 756 })).toEqual({ id: 756, name: 'Suisse', anthem: 'Swiss Psalm' })

    await alice.getRepository(Language).delete('9000000000000001')
    await both()
    expect(await server.getRepository(City).find({ relations: { official: true, spoken: true } })).toMatchObject([
      { official: null, spoken: [] },
    ])
    await bob.getRepository(Country).delete(756)
    await sql(server, `DELETE FROM "country" WHERE "id" = 276`)
    await both()
    expect(await server.getRepository(City).count()).toBe(0)
    expect(await alice.getRepository(Flag).count()).toBe(0)
  })

  test('two devices give one number: that is a conflict of one row', async () => {
    const { server, alice, bob, both } = await start()
    await alice.getRepository(Country).save({ id: 1, name: 'Here' })
    await bob.getRepository(Country).save({ id: 1, name: 'There' })
    await syncAll(alice)
    const asked: unknown[] = []
    await syncAll(
      bob,
      resolveEach<Country>(({ id, properties, local, remote }) => {
        asked.push([id, properties, local?.id, remote?.id])
        return { ...(local as Country), name: `${local?.name}, ${remote?.name}` }
      }),
    )
    expect(asked).toEqual([['1', ['name'], 1, 1]])
    await both()
    expect(await server.getRepository(Country).find()).toMatchObject([{ id: 1, name: 'There, Here' }])
    // by the journal
    await alice.getRepository(Country).update(1, { name: 'a' })
    await bob.getRepository(Country).update(1, { name: 'b' })
    await syncAll(alice)
    await syncAll(bob)
    expect(await journal(bob.getRepository(Country)).conflicts()).toMatchObject([
      { id: '1', local: { id: 1, name: 'b' }, remote: { id: 1, name: 'a' } },
    ])
    await journal(bob.getRepository(Country)).resolve('1', { id: 1, name: 'c' } as Country)
    await both()
    expect(await alice.getRepository(Country).find()).toMatchObject([{ id: 1, name: 'c' }])
    // a handler that names the row by its number
    await alice.getRepository(Country).update(1, { name: 'd' })
    await bob.getRepository(Country).update(1, { name: 'e' })
    await syncAll(alice)
    await syncAll(bob.getRepository(Country), (_, updates) => void updates.push({ id: 1, name: 'f' } as never))
    await both()
    expect(await alice.getRepository(Country).find()).toMatchObject([{ id: 1, name: 'f' }])
  })

  test('a number that is changed is a removal and a new row', async () => {
    const { server, alice, bob, both } = await start()
    await alice.getRepository(Country).save([
      { id: 1, name: 'One' },
      { id: 2, name: 'Two' },
    ])
    await both()
    await sql(bob, `UPDATE "country" SET "id" = 11 WHERE "id" = 1`)
    await sql(alice, `UPDATE "country" SET "id" = 12 WHERE "id" = 2`)
    await both()
    expect((await server.getRepository(Country).find({ order: { id: 'ASC' } })).map(c => c.id)).toEqual([11, 12])
    await sql(server, `UPDATE "country" SET "id" = 1 WHERE "id" = 11`)
    await both()
    expect((await alice.getRepository(Country).find({ order: { id: 'ASC' } })).map(c => c.id)).toEqual([1, 12])
  })

  test('a row that shares the key of one that is counted here', async () => {
    const { server, alice, bob, both } = await start([Person, Profile])
    // numbers are others on each database
    await alice.getRepository(Person).save([{ name: 'x' }, { name: 'y' }])
    await alice.getRepository(Person).delete({ name: 'x' })
    const ann = await alice.getRepository(Person).save({ name: 'Ann' })
    await alice.getRepository(Profile).save({ personId: ann.id, bio: 'likes cats' })
    const ben = await bob.getRepository(Person).save({ name: 'Ben' })
    await bob.getRepository(Profile).save({ person: ben, bio: 'likes dogs' } as Profile)
    await both()
    expect((await find(server)).profiles).toEqual([
      ['likes cats', 'Ann'],
      ['likes dogs', 'Ben'],
    ])
    await alice.getRepository(Profile).update({ bio: 'likes dogs' }, { bio: 'likes fish' })
    await both()
    await bob.getRepository(Person).delete({ name: 'Ann' })
    await both()
    expect((await find(server)).profiles).toEqual([['likes fish', 'Ben']])
  })

  test('a tree', async () => {
    const { server, alice, bob, both } = await start([Account])
    const accounts = alice.getTreeRepository(Account)
    const assets = await accounts.save({ id: 1, name: 'Assets' })
    const cash = await accounts.save({ id: 10, name: 'Cash', parent: assets })
    await accounts.save({ id: 100, name: 'Purse', parent: cash })
    await both()
    expect((await server.getTreeRepository(Account).findDescendants(assets)).map(a => a.id).sort()).toEqual([1, 10, 100])
    await bob.getTreeRepository(Account).save({ id: 2, name: 'Debts' })
    await bob.getTreeRepository(Account).save({ id: 10, parent: { id: 2 } } as Account)
    await both()
    expect((await alice.getTreeRepository(Account).findDescendants({ id: 2 } as Account)).map(a => a.id).sort()).toEqual([10, 100, 2])
  })

  test('a posted row has the number that its id says', async () => {
    const { server, post, errors } = await start()
    const row = { id: '5', _id: 5, name: 'Five' }
    for (const changed of [
      { _id: 6 },
      { id: '05' },
      { id: 'x' },
      { id: '5/5' },
      { id: '' },
      { id: '1e3' },
      { id: '99999999999999999999', _id: undefined },
      { _id: undefined },
      { _id: null },
    ])
      expect([(await post('/countries', [{ ...row, ...changed }])).status, changed, errors]).toEqual([422, changed, []])
    expect(errors).toEqual([])
    expect((await post('/countries', [row])).status).toBe(200)
    expect((await post('/countries', [{ id: '5', name: 'V' }])).status).toBe(200)
    expect(await server.getRepository(Country).find()).toEqual([{ id: 5, name: 'V', anthem: null }])
    expect((await post('/countries', [{ id: '6', name: 'VI' }])).json.errors).toMatchObject([
      { id: '6', property: '_id', code: 'not-valid' },
    ])
    expect((await post('/countries', [{ id: '5', _removed: true }])).status).toBe(200)
    expect(await server.getRepository(Country).count()).toBe(0)
  })

  test('rows from before, and what a migration changes; synchronize has nothing to do', async () => {
    const options = await databaseOn(kind)
    const before = await new DataSource({ ...options, entities: [Country], synchronize: true } as DataSourceOptions).initialize()
    await sql(before, `INSERT INTO "country" ("id", "name") VALUES (756, 'Switzerland'), (40, 'Austria')`)
    await before.destroy()
    const server = await openIn({ ...options, migrations: [Change1700000000000] } as unknown as DataSourceOptions, [Country])
    const { url } = await serve(server)
    const alice = await openOn('sqljs', [Country], { server: url })
    await syncAll(alice)
    expect(await alice.getRepository(Country).count()).toBe(2)
    await server.runMigrations()
    await alice.getRepository(Country).save({ id: 250, name: 'France' })
    await syncAll(alice)
    await expectEqual([server, alice])
    expect(await server.getRepository(Country).findOneBy({ id: 756 })).toMatchObject({ name: 'Helvetia' })
    for (const who of [server, alice]) {
      expect((await who.driver.createSchemaBuilder().log()).upQueries.map(q => q.query)).toEqual([])
      await who.synchronize()
    }
  })

  test('numbers are scopes, and keys of rules', async () => {
    @Entity('membership')
    @EnableSync('/memberships', { scopes: ['user'] })
    class Membership {
      @PrimaryGeneratedColumn('uuid') id!: string
      @Column('varchar', { length: 20 }) user!: string
      @Column('integer') team!: number
    }
    @Entity('team')
    @EnableSync('/teams')
    class Team {
      @PrimaryColumn() id!: number
      @Column('varchar', { length: 50 }) name!: string
    }
    @Entity('job')
    @EnableSync('/jobs', { scopes: ['team'] })
    class Job {
      @PrimaryGeneratedColumn('uuid') id!: string
      @Column('varchar', { length: 50 }) title!: string
      @ManyToOne(() => Team, { onDelete: 'CASCADE' }) team!: Relation<Team>
    }
    const entities = [Membership, Team, Job]
    const server = await openOn(kind, entities)
    let user = 'ann'
    const { url } = await serve(server, {
      principal: () => ({ id: user }),
      rules: [
        rule(Membership, { read: p => ({ user: p.id }), write: () => false }),
        rule(Team, { read: p => ({ id: keys(Membership, 'team', { user: p.id }) }) }),
        rule(Job, { read: p => ({ team: keys(Membership, 'team', { user: p.id }) }) }),
      ],
    } as never)
    await server.getRepository(Team).save([
      { id: 7, name: 'Seven' },
      { id: 8, name: 'Eight' },
    ])
    await server.getRepository(Membership).save([
      { user: 'ann', team: 7 },
      { user: 'ben', team: 8 },
    ])
    const ann = await openOn('sqljs', entities, { server: url })
    await syncAll(ann)
    expect(await ann.getRepository(Team).find()).toEqual([{ id: 7, name: 'Seven' }])
    await ann.getRepository(Job).save({ title: 'Sweep', team: { id: 7 } as Team })
    await ann.getRepository(Team).update(7, { name: 'The Seven' })
    await syncAll(ann)
    expect(await server.getRepository(Team).findOneBy({ id: 7 })).toEqual({ id: 7, name: 'The Seven' })
    user = 'ben'
    const ben = await openOn('sqljs', entities, { server: url })
    await syncAll(ben)
    expect(await ben.getRepository(Team).find()).toEqual([{ id: 8, name: 'Eight' }])
    expect(await ben.getRepository(Job).count()).toBe(0)
    user = 'ann'
    await server.getRepository(Membership).update({ user: 'ann' }, { team: 8 })
    await syncAll(ann)
    expect(await ann.getRepository(Team).find()).toEqual([{ id: 8, name: 'Eight' }])
    expect(await ann.getRepository(Job).count()).toBe(0)
  })

  test('a number that is left out is not made', async () => {
    const { server } = await start()
    const country = { name: 'Nowhere' } as Country
    // SQLite counts where a number is missing, and that one travels
    await server
      .getRepository(Country)
      .save(country)
      .catch(() => {})
    expect((await server.getRepository(Country).find()).map(c => typeof c.id)).toEqual(kind === 'libsql' ? ['number'] : [])
  })

  test('what two devices resolve is stored by either handler', async () => {
    const { alice, bob, both, server } = await start([Language])
    await alice.getRepository(Language).save({ code: '3', name: 'a' })
    await bob.getRepository(Language).save({ code: '3', name: 'b' })
    await syncAll(bob)
    await syncAll(alice, preferLocalConflictHandler)
    await both()
    expect(await server.getRepository(Language).find()).toMatchObject([{ name: 'a' }])
  })
})
