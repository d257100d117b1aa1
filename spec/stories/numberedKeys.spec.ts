// Entities whose rows the database counts: each database has numbers of its own, and relations mean the same rows everywhere.

import 'reflect-metadata'
import { describe, expect, test } from '@jest/globals'
import {
  ChildEntity,
  Column,
  DataSource,
  type DataSourceOptions,
  Entity,
  EntitySchema,
  type EntitySchemaColumnOptions,
  JoinColumn,
  JoinTable,
  ManyToMany,
  ManyToOne,
  type MigrationInterface,
  OneToMany,
  OneToOne,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  type QueryRunner,
  type Relation,
  TableInheritance,
  Unique,
} from 'typeorm'
import { type Conflict, EnableSync, enableSync, hasLocalChanges, journal, resolveEach, syncAll, wipe } from 'typeorm-sync'
import { keys, rule } from 'typeorm-sync/server-koa'
import { databaseOn, openIn, openOn, SERVERS, serve, sql } from '../support/eachDatabase.js'

@Entity('profile')
@EnableSync('/profiles')
class Profile {
  @PrimaryGeneratedColumn()
  id!: number

  @Column('varchar', { length: 20 })
  gender!: string
}

@Entity('author')
@EnableSync('/authors')
class Author {
  @PrimaryGeneratedColumn()
  id!: number

  @Column('varchar', { length: 50 })
  name!: string

  @OneToOne(() => Profile, { nullable: true, onDelete: 'SET NULL' })
  @JoinColumn()
  profile?: Relation<Profile> | null

  @OneToMany(
    () => Post,
    post => post.author,
  )
  posts?: Relation<Post>[]
}

@Entity('post')
@EnableSync('/posts')
class Post {
  @PrimaryGeneratedColumn()
  id!: number

  @Column('varchar', { length: 50 })
  title!: string

  @Column('varchar', { length: 50, nullable: true })
  note!: string | null

  @Column()
  authorId!: number

  @ManyToOne(
    () => Author,
    author => author.posts,
    { onDelete: 'CASCADE' },
  )
  @JoinColumn({ name: 'authorId' })
  author?: Relation<Author>

  @ManyToOne(() => Author, { nullable: true, onDelete: 'SET NULL' })
  @JoinColumn({ name: 'reviewer' })
  reviewer?: Relation<Author> | null
}

@Entity('folder')
@EnableSync('/folders')
@Unique(['name'])
class Folder {
  @PrimaryGeneratedColumn()
  id!: number

  @Column('varchar', { length: 50 })
  name!: string

  @ManyToOne(() => Folder, { nullable: true, onDelete: 'CASCADE' })
  parent?: Relation<Folder> | null

  @ManyToOne(() => Author, { nullable: true })
  owner?: Relation<Author> | null
}

@Entity('seat')
@EnableSync('/seats')
@Unique(['room', 'isBest'])
class Seat {
  @PrimaryGeneratedColumn()
  id!: number

  @Column('varchar', { length: 20 })
  room!: string

  @Column('boolean')
  isBest!: boolean

  @Column('varchar', { length: 20 })
  row!: string
}

const ENTITIES = [Profile, Author, Post, Folder]

// as TypeORM's documentation has them
@Entity('category')
@EnableSync('/categories')
class Category {
  @PrimaryGeneratedColumn()
  id!: number

  @Column('varchar', { length: 50 })
  name!: string
}

@Entity('question')
@EnableSync('/questions')
class Question {
  @PrimaryGeneratedColumn()
  id!: number

  @Column('varchar', { length: 50 })
  title!: string

  @ManyToMany(() => Category)
  @JoinTable()
  categories?: Relation<Category>[]

  @ManyToMany(() => Question)
  @JoinTable()
  similar?: Relation<Question>[]
}

@Entity('vote')
@EnableSync('/votes')
class Vote {
  @PrimaryColumn()
  questionId!: number

  @PrimaryColumn('varchar', { length: 20 })
  user!: string

  @ManyToOne(() => Question, { onDelete: 'CASCADE' })
  question?: Relation<Question>

  @Column('integer')
  weight!: number
}

/** What people see of a database: no number in it. */
async function shown(who: DataSource) {
  const authors = await who.getRepository(Author).find({ relations: { profile: true } })
  const posts = await who.getRepository(Post).find({ relations: { author: true, reviewer: true } })
  const folders = await who.getRepository(Folder).find({ relations: { parent: true } })
  return [
    ...authors.map(a => `${a.name} ${a.profile?.gender}`).sort(),
    ...posts.map(p => `${p.title} ${p.note} by ${p.author?.name} seen by ${p.reviewer?.name}`).sort(),
    ...folders.map(f => `${f.parent?.name}/${f.name}`).sort(),
  ]
}

/** What is kept beside numbers says the same as these. */
async function expectWhole(who: DataSource) {
  for (const [child, number, parent] of [
    ['post', 'authorId', 'author'],
    ['post', 'reviewer', 'author'],
    ['author', 'profileId', 'profile'],
    ['folder', 'parentId', 'folder'],
    ['folder', 'ownerId', 'author'],
  ]) {
    const wrong = await sql(
      who,
      `SELECT x."id", x."${number}", x."_sync_to_${number}", p."_sync_identity" AS "identity" FROM "${child}" x LEFT JOIN "${parent}" p ON p."id" = x."${number}"
        WHERE coalesce(p."_sync_identity", '') <> coalesce(x."_sync_to_${number}", '') OR coalesce(p."id", 0) <> coalesce(x."${number}", 0)`,
    )
    expect({ child, number, wrong }).toEqual({ child, number, wrong: [] })
  }
}

@Entity('room')
@EnableSync('/rooms')
class Room {
  @PrimaryGeneratedColumn()
  id!: number

  @Column('varchar', { length: 20 })
  name!: string
}

@Entity('guest')
@EnableSync('/guests')
class Guest {
  @PrimaryGeneratedColumn()
  id!: number

  @Column('varchar', { length: 20 })
  user!: string

  @ManyToOne(() => Room, { nullable: false })
  room?: Relation<Room>
}

@Entity('chair')
@EnableSync('/chairs', { scopes: ['room'] })
@Unique(['room', 'name'])
class Chair {
  @PrimaryGeneratedColumn()
  id!: number

  @Column('varchar', { length: 20 })
  name!: string

  @ManyToOne(() => Room, { nullable: false })
  room?: Relation<Room>
}

@Entity('person')
@EnableSync('/people')
@TableInheritance({ column: { type: 'varchar', length: 20, name: 'kind' } })
class Person {
  @PrimaryGeneratedColumn()
  id!: number

  @Column('varchar', { length: 20 })
  name!: string
}

@ChildEntity()
class Employee extends Person {
  @ManyToOne(() => Person, { nullable: true })
  boss?: Relation<Person> | null
}

@Entity('job')
@EnableSync('/jobs')
class Job {
  @PrimaryGeneratedColumn()
  id!: number

  @ManyToOne(() => Employee, { nullable: false, onDelete: 'CASCADE' })
  employee?: Relation<Employee>
}

class Fill1700000000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    const own = (text: string) => (runner.connection.options.type === 'mariadb' ? text.replaceAll('"', '`') : text)
    await runner.query(own(`INSERT INTO "hung" ("name", "to_own") SELECT 'below', "id" FROM "own"`))
  }

  async down(): Promise<void> {}
}

/** The entity without sync. */
function plain(target: new () => object) {
  const table = target.name.toLowerCase()
  const columns: Record<string, EntitySchemaColumnOptions> = { id: { type: 'integer', primary: true, generated: 'increment' } }
  const texts: Record<string, string[]> = { profile: ['gender'], author: ['name'], post: ['title', 'note'], folder: ['name'] }
  for (const name of texts[table] ?? []) columns[name] = { type: 'varchar', length: 50, nullable: name === 'note' }
  if (table === 'post') columns.authorId = { type: 'integer' }
  return new EntitySchema({ name: table, tableName: table, columns })
}

async function shownLinks(who: DataSource) {
  const questions = await who.getRepository(Question).find({ relations: { categories: true, similar: true } })
  const votes = await who.getRepository(Vote).find({ relations: { question: true } })
  const names = (all: readonly { name?: string; title?: string }[] = []) =>
    all
      .map(c => c.name ?? c.title)
      .sort()
      .join()
  return [
    ...questions.map(q => `${q.title}: ${names(q.categories)}; ${names(q.similar)}`).sort(),
    ...votes.map(v => `${v.user} ${v.weight} ${v.question?.title}`).sort(),
  ]
}

describe.each(SERVERS)('on %s', kind => {
  async function start(entities: (new () => object)[] = ENTITIES) {
    const show = entities === ENTITIES ? shown : shownLinks
    const server = await openOn(kind, entities)
    const { url, post, errors } = await serve(server)
    const alice = await openOn('sqljs', entities, { server: url })
    const bob = await openOn(kind, entities, { server: url })
    const both = async () => {
      for (const who of [alice, bob, alice]) await syncAll(who)
      const [first, ...others] = await Promise.all([server, alice, bob].map(show))
      for (const other of others) expect(other).toEqual(first)
      if (entities === ENTITIES) for (const who of [server, alice, bob]) await expectWhole(who)
      for (const who of [alice, bob]) expect(await hasLocalChanges(who)).toBe(false)
      return first as string[]
    }
    return { server, url, post, errors, alice, bob, both }
  }

  test('rows of two devices that have one number both arrive, with their relations', async () => {
    const { server, alice, bob, both } = await start()
    for (const [who, name] of [
      [alice, 'Ann'],
      [bob, 'Ben'],
    ] as const) {
      const profile = await who.getRepository(Profile).save({ gender: name.toLowerCase() })
      const author = await who.getRepository(Author).save({ name, profile })
      expect(author.id).toBe(1)
      const post = await who.getRepository(Post).save({ title: `${name}’s`, author })
      expect(post).toMatchObject({ id: 1, authorId: 1 })
      const folder = await who.getRepository(Folder).save({ name, parent: null })
      await who.getRepository(Folder).save({ name: `${name} 2`, parent: folder })
    }
    await sql(bob, `INSERT INTO "post" ("title", "authorId") VALUES ('raw', 1), ('too', 1)`)
    expect(await both()).toEqual([
      'Ann ann',
      'Ben ben',
      'Ann’s null by Ann seen by undefined',
      'Ben’s null by Ben seen by undefined',
      'raw null by Ben seen by undefined',
      'too null by Ben seen by undefined',
      'Ann/Ann 2',
      'Ben/Ben 2',
      'undefined/Ann',
      'undefined/Ben',
    ])
    // numbers are what they were
    expect((await alice.getRepository(Author).findOneByOrFail({ id: 1 })).name).toBe('Ann')
    expect((await bob.getRepository(Author).findOneByOrFail({ id: 1 })).name).toBe('Ben')
    expect(await server.getRepository(Author).count()).toBe(2)
  })

  test('links of a many-to-many relation, and keys with a numbered part, mean the same rows everywhere', async () => {
    const { server, alice, bob, both } = await start([Category, Question, Vote])
    // other numbers here than there
    await bob.getRepository(Category).save([{ name: 'z1' }, { name: 'z2' }])
    await bob.getRepository(Question).save({ title: 'bob’s' })
    for (const [who, name] of [
      [alice, 'a'],
      [bob, 'b'],
    ] as const) {
      const categories = await who.getRepository(Category).save([{ name: `${name}1` }, { name: `${name}2` }])
      const [one, two] = await who.getRepository(Question).save([{ title: `${name} one`, categories }, { title: `${name} two` }])
      await who.getRepository(Question).createQueryBuilder().relation('similar').of(one).add(two)
      await who.getRepository(Vote).save([
        { questionId: (one as Question).id, user: name, weight: 1 },
        { questionId: (two as Question).id, user: name, weight: 2 },
      ])
    }
    expect(await both()).toEqual([
      'a one: a1,a2; a two',
      'a two: ; ',
      'b one: b1,b2; b two',
      'b two: ; ',
      'bob’s: ; ',
      'a 1 a one',
      'a 2 a two',
      'b 1 b one',
      'b 2 b two',
    ])

    const question = await alice.getRepository(Question).findOneOrFail({ where: { title: 'b one' }, relations: { categories: true } })
    question.categories = question.categories?.filter(c => c.name === 'b2')
    question.categories?.push(await alice.getRepository(Category).findOneByOrFail({ name: 'z1' }))
    await alice.getRepository(Question).save(question)
    await sql(bob, `DELETE FROM "question" WHERE "title" = 'a two'`)
    await sql(bob, `UPDATE "vote" SET "weight" = 5 WHERE "user" = 'b'`)
    await sql(
      bob,
      `UPDATE "vote" SET "questionId" = (SELECT "id" FROM "question" WHERE "title" = 'bob’s') WHERE "user" = 'a' AND "weight" = 1`,
    )
    expect(await both()).toEqual(['a one: a1,a2; ', 'b one: b2,z1; b two', 'b two: ; ', 'bob’s: ; ', 'a 1 bob’s', 'b 5 b one', 'b 5 b two'])
    await server.getRepository(Category).remove(await server.getRepository(Category).find())
    await alice.getRepository(Question).remove(await alice.getRepository(Question).findBy({ title: 'b one' }))
    expect(await both()).toEqual(['a one: ; ', 'b two: ; ', 'bob’s: ; ', 'a 1 bob’s', 'b 5 b two'])
  })

  test('relations are changed, cleared and cascaded, by whatever writes them', async () => {
    const { server, alice, bob, both } = await start()
    const [ann, ben] = await alice.getRepository(Author).save([{ name: 'Ann' }, { name: 'Ben' }])
    await bob.getRepository(Author).save({ name: 'Cleo' })
    await alice.getRepository(Post).save([
      { title: 'one', authorId: ann?.id as number, reviewer: ben as Author },
      { title: 'two', author: ben as Author },
    ])
    await both()

    await sql(
      bob,
      `UPDATE "post" SET "authorId" = (SELECT "id" FROM "author" WHERE "name" = 'Cleo'), "note" = 'hers' WHERE "title" = 'two'`,
    )
    const post = await alice.getRepository(Post).findOneByOrFail({ title: 'one' })
    await alice.getRepository(Post).save({ ...post, authorId: ben?.id as number })
    expect(await both()).toEqual([
      'Ann undefined',
      'Ben undefined',
      'Cleo undefined',
      'one null by Ben seen by Ben',
      'two hers by Cleo seen by undefined',
    ])

    // to different properties of one row, one of them a relation
    await alice.getRepository(Post).update({ title: 'two' }, { reviewer: ann as Author })
    await bob.getRepository(Post).update({ title: 'two' }, { note: 'ours' })
    expect(await both()).toContain('two ours by Cleo seen by Ann')

    // the database clears the one, and removes the other
    await sql(bob, `DELETE FROM "author" WHERE "name" = 'Ann'`)
    await sql(server, `DELETE FROM "author" WHERE "name" = 'Ben'`)
    expect(await both()).toEqual(['Cleo undefined', 'two ours by Cleo seen by undefined'])
    await sql(alice, `UPDATE "post" SET "reviewer" = "authorId"`)
    expect(await both()).toEqual(['Cleo undefined', 'two ours by Cleo seen by Cleo'])
    await sql(server, `UPDATE "post" SET "reviewer" = NULL`)
    await alice.getRepository(Author).remove(await alice.getRepository(Author).find())
    expect(await both()).toEqual([])
  })

  test('a tree of rows arrives whole, whatever comes first', async () => {
    const { alice, bob, both } = await start()
    const count = 450
    const ids = Array.from({ length: count }, (_, i) => i + 1)
    await bob.getRepository(Folder).save({ name: 'other' })
    // each row but the last needs one that was made after it
    await alice.getRepository(Author).save({ name: 'Ann' })
    await sql(alice, 'PRAGMA foreign_keys = OFF')
    for (const i of ids)
      await sql(alice, `INSERT INTO "folder" ("name", "parentId", "ownerId") VALUES ('f${i}', ${i < count ? i + 1 : 'NULL'}, 1)`)
    await sql(alice, 'PRAGMA foreign_keys = ON')
    const first = await both()
    expect(first).toHaveLength(count + 2)
    expect(first).toContain('f2/f1')
    expect(first).toContain('undefined/f450')
    await sql(
      bob,
      `UPDATE "folder" SET "parentId" = (SELECT p."id" FROM (SELECT * FROM "folder") p WHERE p."name" = 'other') WHERE "name" = 'f2'`,
    )
    await both()
    await alice.getRepository(Folder).delete({ name: 'f3' })
    expect(await both()).toEqual(
      [
        'Ann undefined',
        ...Array.from({ length: count - 4 }, (_, i) => `f${i + 5}/f${i + 4}`),
        'f2/f1',
        'other/f2',
        'undefined/f450',
        'undefined/other',
      ].sort(),
    )

    // to be emptied, rows let go of each other, by number and by identity
    const last = await shown(alice)
    for (const who of [alice, bob]) {
      await wipe(who)
      expect(await shown(who)).toEqual([])
    }
    for (const who of [alice, bob]) await syncAll(who)
    for (const who of [alice, bob]) expect(await shown(who)).toEqual(last)
    await expectWhole(alice)
  })

  test('a conflict speaks of identities, and a number in a decision is rejected', async () => {
    const { alice, bob, both } = await start()
    const authors = await alice.getRepository(Author).save([{ name: 'Ann' }, { name: 'Ben' }, { name: 'Cleo' }])
    await alice.getRepository(Post).save({ title: 'one', author: authors[0] as Author })
    await both()
    const identities = new Map(
      (await sql(alice, 'SELECT "name", "_sync_identity" FROM "author"')).map((a: any) => [a.name, a._sync_identity]),
    )
    const edit = async () => {
      await alice.getRepository(Post).update({ title: 'one' }, { author: authors[1] as Author })
      await sql(bob, `UPDATE "post" SET "authorId" = (SELECT "id" FROM "author" WHERE "name" = 'Cleo') WHERE "title" = 'one'`)
      await syncAll(alice)
    }
    await edit()
    const asked: Conflict<Post>[] = []
    const withNumber = resolveEach<Post>(conflict => {
      asked.push(conflict)
      return { ...conflict.local, authorId: 1 }
    })
    await expect(syncAll(bob.getRepository(Post), withNumber)).rejects.toThrow('it is a number of this database')
    const [{ local, remote, properties }] = asked as [Conflict<Post>]
    expect([local?.authorId, remote?.authorId, properties]).toEqual([identities.get('Cleo'), identities.get('Ben'), ['authorId']])
    expect(await journal(bob.getRepository(Post)).conflicts()).toHaveLength(1)
    await syncAll(
      bob.getRepository(Post),
      resolveEach<Post>(({ local }) => local as Post),
    )
    expect(await both()).toContain('one null by Cleo seen by undefined')
  })

  test('rows from before are given identities once, and a database that is opened again has the same', async () => {
    const [options, device] = [await databaseOn(kind), await databaseOn('libsql')]
    const bare = (of: typeof options) =>
      new DataSource({ ...of, entities: [Profile, Author, Post, Folder].map(plain), synchronize: true } as DataSourceOptions)
    for (const [of, name] of [
      [options, 'server’s'],
      [device, 'device’s'],
    ] as const) {
      const before = await bare(of).initialize()
      const author = await before.getRepository('author').save({ name })
      await before.getRepository('post').save([
        { title: `${name} post`, authorId: author.id },
        { title: `${name} other`, authorId: author.id },
      ])
      await before.destroy()
    }
    const server = await openIn(options, ENTITIES)
    const { url } = await serve(server)
    const alice = await openIn(device, ENTITIES, { server: url })
    await expectWhole(server)
    await expectWhole(alice)
    await syncAll(alice)
    const all = [
      'device’s undefined',
      'server’s undefined',
      ...['device’s', 'server’s'].flatMap(n => [`${n} other null by ${n} seen by undefined`, `${n} post null by ${n} seen by undefined`]),
    ]
    for (const who of [server, alice]) expect(await shown(who)).toEqual(all)
    for (const who of [server, alice]) {
      const { upQueries } = await who.driver.createSchemaBuilder().log()
      expect(upQueries.map(q => q.query).filter(q => q.includes('_sync_'))).toEqual([])
    }
    const identities = await sql(alice, 'SELECT "id", "_sync_identity" FROM "post" ORDER BY "id"')
    await alice.destroy()
    const again = await openIn(device, ENTITIES, { server: url })
    await again.getRepository(Post).save({ title: 'new', authorId: 1 })
    await syncAll(again)
    expect((await sql(again, 'SELECT "id", "_sync_identity" FROM "post" ORDER BY "id"')).slice(0, 4)).toEqual(identities)
    expect(await shown(server)).toEqual(await shown(again))
  })

  test('rows are upserted, replaced and copied, with identities of their own', async () => {
    const { server, alice, bob, both } = await start()
    for (const who of [alice, bob]) await who.getRepository(Folder).save({ name: `of ${who.options.type}` })
    await both()
    const identityOf = async (who: DataSource, name: string) =>
      (await sql(who, 'SELECT "_sync_identity" AS "of" FROM "folder" WHERE "name" = ?', [name]))[0].of
    const [row] = await alice.getRepository(Folder).find()
    const before = await identityOf(alice, row?.name as string)
    await alice.getRepository(Folder).upsert({ id: row?.id as number, name: 'upserted' }, ['id'])
    expect(await identityOf(alice, 'upserted')).toBe(before)
    await sql(bob, `INSERT INTO "folder" ("name", "parentId") SELECT 'copied', "id" FROM "folder"`).catch(() =>
      sql(bob, `INSERT INTO "folder" ("name", "parentId") SELECT 'copied', max("id") FROM "folder"`),
    )
    await expect(
      sql(bob, `INSERT INTO "folder" ("name", "_sync_identity") SELECT 'again', "_sync_identity" FROM "folder" WHERE "name" = 'copied'`),
    ).rejects.toThrow()
    await both()
    expect(await identityOf(bob, 'upserted')).toBe(before)

    // whoever takes the number, or the unique value, of a row is another row
    await sql(alice, `INSERT OR REPLACE INTO "folder" ("id", "name") SELECT "id", 'replaced' FROM "folder" WHERE "name" = 'upserted'`)
    await sql(alice, `INSERT OR REPLACE INTO "folder" ("name") VALUES ('replaced')`)
    const after = await both()
    expect(after).toContain('undefined/replaced')
    expect(after.join()).not.toContain('upserted')
    expect(await server.getRepository(Folder).countBy({ name: 'replaced' })).toBe(1)
  })

  test('who sees what is said by identities, also through relations', async () => {
    const server = await openOn(kind, [Room, Guest, Chair])
    const people = { read: () => true } as const
    const { url } = await serve(server, {
      principal: ctx => ({ id: ctx.get('authorization') }),
      rules: [
        rule(Room, { read: p => ({ id: keys(Guest, 'room', { user: p.id }) }), write: people.read }),
        rule(Guest, people),
        rule(Chair, { read: p => ({ room: keys(Guest, 'room', { user: p.id }) }), write: people.read }),
      ],
    })
    // numbers are other ones there
    await server.getRepository(Room).save([{ name: 'full' }, { name: 'red' }, { name: 'blue' }])
    const [, red, blue] = await server.getRepository(Room).find({ order: { id: 'ASC' } })
    await server.getRepository(Guest).save({ user: 'bob', room: red as Room })
    await server.getRepository(Chair).save([
      { name: 'r', room: red as Room },
      { name: 'b', room: blue as Room },
    ])
    const bob = await openOn('sqljs', [Room, Guest, Chair], { server: url, headers: { Authorization: 'bob' } })
    const seen = async () => {
      await syncAll(bob)
      const chairs = await bob.getRepository(Chair).find({ relations: { room: true } })
      return chairs.map(c => `${c.name} in ${c.room?.name}`).sort()
    }
    expect(await seen()).toEqual(['r in red'])
    await bob.getRepository(Chair).save({ name: 'new', room: await bob.getRepository(Room).findOneByOrFail({ name: 'red' }) })
    expect(await seen()).toEqual(['new in red', 'r in red'])
    expect(await server.getRepository(Chair).countBy({ name: 'new', room: { id: red?.id as number } })).toBe(1)
    // a row leaves, another one comes
    await sql(server, `UPDATE "chair" SET "roomId" = ? WHERE "name" = 'r'`, [blue?.id])
    expect(await seen()).toEqual(['new in red'])
    await server.getRepository(Guest).save({ user: 'bob', room: blue as Room })
    expect(await seen()).toEqual(['b in blue', 'new in red', 'r in blue'])
    // with its new name it would be another one's double where it was
    await sql(server, `UPDATE "chair" SET "roomId" = ?, "name" = 'r' WHERE "name" = 'b'`, [red?.id])
    expect(await seen()).toEqual(['new in red', 'r in blue', 'r in red'])
    await server.getRepository(Guest).delete({ room: { id: red?.id as number } })
    expect(await seen()).toEqual(['r in blue'])
  })

  test('a migration fills in rows, and other types of numbers do', async () => {
    const type = kind === 'libsql' ? 'integer' : 'bigint'
    const entities = () => {
      const strategy =
        kind === 'postgres'
          ? { generated: 'identity' as never }
          : { generated: 'increment' as const, ...(kind === 'mysql' && { unsigned: true }) }
      const own = new EntitySchema<any>({
        name: 'own',
        columns: { id: { type, primary: true, ...strategy }, name: { type: 'varchar', length: 20 } },
      })
      const hung = new EntitySchema<any>({
        name: 'hung',
        columns: { number: { type, primary: true, ...strategy }, name: { type: 'varchar', length: 20 } },
        relations: { to: { type: 'many-to-one', target: 'own', joinColumn: { name: 'to_own' }, onDelete: 'CASCADE' } },
      })
      enableSync(own, '/owns')
      enableSync(hung, '/hungs')
      return [own, hung]
    }
    const options = await databaseOn(kind)
    const server = await openIn({ ...options, migrations: [Fill1700000000000] } as typeof options, entities())
    const { url } = await serve(server)
    await server.getRepository('own').save({ name: 'first' })
    await server.runMigrations()
    const device = await openOn(kind, entities(), { server: url })
    await device.getRepository('own').save({ name: 'mine' })
    await syncAll(device)
    const names = async (who: DataSource) =>
      (await who.getRepository('hung').find({ relations: { to: true } })).map(h => `${h.name} ${h.to.name}`)
    for (const who of [server, device]) expect(await names(who)).toEqual(['below first'])
    await device.getRepository('own').delete({ name: 'first' })
    await syncAll(device)
    expect(await names(server)).toEqual([])
    expect((await server.getRepository('own').find()).map(o => o.name)).toEqual(['mine'])
  })

  test('a row keeps its number where its parent was removed there, it was moved away before, and both sides have edited it', async () => {
    const { server, alice, bob, both } = await start()
    const [gone, other] = await alice.getRepository(Author).save([{ name: 'Gone' }, { name: 'Other' }])
    await alice.getRepository(Post).save({ title: 'first', author: gone! })
    await both()
    const moved = await bob.getRepository(Post).findOneByOrFail({ title: 'first' })
    await bob
      .getRepository(Post)
      .update(moved.id, { title: 'moved', author: await bob.getRepository(Author).findOneByOrFail({ name: 'Other' }) })
    await bob.getRepository(Author).delete({ name: 'Gone' })
    await syncAll(bob)
    const { id } = await alice.getRepository(Post).findOneByOrFail({ title: 'first' })
    await alice.getRepository(Post).update(id, { title: 'edited' })
    await alice.getRepository(Post).save({ title: 'new', author: other! })
    expect(await syncAll(alice, resolveEach(({ remote }) => remote) as never)).toMatchObject({ unapplied: 0 })
    expect(await alice.getRepository(Post).findOneByOrFail({ id })).toMatchObject({ title: 'moved', authorId: other!.id })
    expect(await alice.getRepository(Author).countBy({ name: 'Gone' })).toBe(0)
    await both()
    expect(await server.getRepository(Author).count()).toBe(1)
  })

  test('a row keeps its number, whatever its unique values do', async () => {
    const server = await openOn(kind, [Seat])
    const { url } = await serve(server)
    const alice = await openOn('sqljs', [Seat], { server: url })
    await server.getRepository(Seat).save([
      { room: 'a', isBest: true, row: '1' },
      { room: 'a', isBest: false, row: '2' },
    ])
    await syncAll(alice)
    const numbers = async () => (await alice.getRepository(Seat).find({ order: { row: 'ASC' } })).map(s => `${s.row} ${s.id}`)
    const before = await numbers()
    // nothing is free that they could hold meanwhile
    await sql(server, `UPDATE "seat" SET "room" = 'b' WHERE "row" = '1'`)
    await sql(server, `UPDATE "seat" SET "isBest" = ? WHERE "row" = '2'`, [kind === 'libsql' ? 1 : true])
    await sql(server, `UPDATE "seat" SET "room" = 'a', "isBest" = ? WHERE "row" = '1'`, [kind === 'libsql' ? 0 : false])
    await syncAll(alice)
    expect(await numbers()).toEqual(before)
  })

  test('relations to and from entities that share a table', async () => {
    const server = await openOn(kind, [Person, Employee, Job])
    const { url } = await serve(server)
    const [alice, bob] = [
      await openOn('sqljs', [Person, Employee, Job], { server: url }),
      await openOn(kind, [Person, Employee, Job], { server: url }),
    ]
    await bob.getRepository(Person).save([{ name: 'other' }, { name: 'another' }])
    const boss = await alice.getRepository(Person).save({ name: 'boss' })
    const employee = await alice.getRepository(Employee).save({ name: 'worker', boss })
    await alice.getRepository(Job).save({ employee })
    for (const who of [alice, bob, alice]) await syncAll(who)
    for (const who of [server, alice, bob]) {
      const [job] = await who.getRepository(Job).find({ relations: { employee: { boss: true } } })
      expect([job?.employee?.name, job?.employee?.boss?.name]).toEqual(['worker', 'boss'])
    }
    await bob.getRepository(Employee).delete({ name: 'worker' })
    for (const who of [bob, alice]) await syncAll(who)
    expect(await alice.getRepository(Job).count()).toBe(0)
    expect(await server.getRepository(Person).count()).toBe(3)
  })
})
