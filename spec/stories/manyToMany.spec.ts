// Tasks with tags, and friends: the links of many-to-many relations sync with what they link, without a class.

import 'reflect-metadata'
import { describe, expect, test } from '@jest/globals'
import { Column, type DataSource, Entity, JoinColumn, JoinTable, ManyToMany, ManyToOne, PrimaryColumn, type Relation } from 'typeorm'
import { type ConflictHandler, EnableSync, hasLocalChanges, journal, type SyncReport, syncAll } from 'typeorm-sync'
import { renewHistory, rule } from 'typeorm-sync/server-koa'
import { openOn, SERVERS, serve, sql } from '../support/eachDatabase.js'

const key = { length: 36 }

@Entity('tag')
@EnableSync('/tags')
class Tag {
  @PrimaryColumn('varchar', key)
  id!: string

  @Column('varchar', { length: 50, default: '' })
  name!: string

  @ManyToMany(
    () => Task,
    task => task.tags,
  )
  tasks!: Relation<Task>[]
}

@Entity('task')
@EnableSync('/tasks', { scopes: ['list'] })
class Task {
  @PrimaryColumn('varchar', key)
  id!: string

  @Column('varchar', { length: 50, default: '' })
  name!: string

  @Column('varchar', { length: 36, nullable: true })
  list!: string | null

  @ManyToMany(
    () => Tag,
    tag => tag.tasks,
  )
  @JoinTable()
  tags!: Relation<Tag>[]
}

let decideAboutFriends: ConflictHandler = () => {}

@Entity('person')
@EnableSync('/people', { links: { friends: { onConflict: (...asked) => decideAboutFriends(...asked) } } })
class Person {
  @PrimaryColumn('varchar', key)
  id!: string

  @ManyToMany(() => Person)
  @JoinTable({ name: 'friendship', joinColumn: { name: 'who' }, inverseJoinColumn: { name: 'whom' } })
  friends!: Relation<Person>[]
}

/** A link that says more than that it is there is an entity. */
@Entity('assignment')
@EnableSync('/assignments')
class Assignment {
  @PrimaryColumn('varchar', key)
  taskId!: string

  @PrimaryColumn('varchar', key)
  personId!: string

  @ManyToOne(() => Task, { onDelete: 'CASCADE' })
  @JoinColumn({ name: 'taskId' })
  task!: Relation<Task>

  @ManyToOne(() => Person, { onDelete: 'CASCADE' })
  @JoinColumn({ name: 'personId' })
  person!: Relation<Person>

  @Column('varchar', { length: 20, default: 'helper' })
  role!: string

  @Column('integer', { default: 0 })
  hours!: number
}

const ENTITIES = [Tag, Task, Person, Assignment]

const links = async (who: DataSource) =>
  (await sql(who, 'SELECT * FROM "task_tags_tag" ORDER BY "taskId", "tagId"')).map((l: any) => `${l.taskId} ${l.tagId}`)
const tables = ['tag', 'task', 'task_tags_tag', 'person', 'friendship', 'assignment']
const all = async (who: DataSource) =>
  Promise.all(
    tables.map(async table =>
      (await sql(who, `SELECT * FROM "${table}"`)).map(({ _lastChange, ...row }: any) => JSON.stringify(Object.entries(row).sort())).sort(),
    ),
  )

const task = (id: string, ...tags: string[]) => ({ id, tags: tags.map(tag => ({ id: tag })) })
const tagsOf = async (who: DataSource, id: string) => {
  const found = await who.getRepository(Task).findOne({ where: { id }, relations: { tags: true } })
  return found?.tags.map(tag => tag.id).sort()
}

describe.each(SERVERS)('on %s', kind => {
  async function start() {
    const server = await openOn(kind, ENTITIES)
    const { url, post } = await serve(server)
    const alice = await openOn('sqljs', ENTITIES, { server: url })
    const bob = await openOn(kind, ENTITIES, { server: url })
    const both = async (): Promise<SyncReport[]> => {
      const reports: SyncReport[] = []
      for (const who of [alice, bob, alice]) reports.push(await syncAll(who))
      const expected = await all(server)
      for (const who of [alice, bob]) {
        expect(await all(who)).toEqual(expected)
        expect(await hasLocalChanges(who)).toBe(false)
        expect(await journal(who.getRepository(Task)).conflicts()).toEqual([])
        expect(await journal(who.getRepository<object>('task_tags_tag')).deferred()).toEqual([])
      }
      return reports
    }
    await alice.getRepository(Tag).save(['a', 'b', 'c'].map(id => ({ id })))
    await alice.getRepository(Task).save([task('1', 'a', 'b'), task('2', 'a')])
    await both()
    return { server, url, post, alice, bob, both }
  }

  test('the tags of a task are there on the other device, and change as they do', async () => {
    const { server, alice, bob, both } = await start()
    expect([await tagsOf(bob, '1'), await tagsOf(server, '2')]).toEqual([['a', 'b'], ['a']])
    // TypeORM inserts new links and deletes those that are gone
    await bob.getRepository(Task).save(task('1', 'b', 'c'))
    await alice.getRepository(Tag).save({ id: 'c', tasks: [{ id: '2' }] })
    await both()
    expect([await tagsOf(alice, '1'), await tagsOf(bob, '2')]).toEqual([
      ['b', 'c'],
      ['a', 'c'],
    ])
    await bob.createQueryBuilder().relation(Task, 'tags').of('2').remove('a')
    await bob.createQueryBuilder().relation(Task, 'tags').of('2').add('b')
    await sql(alice, `DELETE FROM "task_tags_tag" WHERE "taskId" = '1' AND "tagId" = 'b'`)
    await sql(alice, `INSERT INTO "task_tags_tag" ("taskId", "tagId") VALUES ('1', 'a')`)
    await sql(server, `DELETE FROM "task_tags_tag" WHERE "taskId" = '1' AND "tagId" = 'c'`)
    await both()
    expect(await links(server)).toEqual(['1 a', '2 b', '2 c'])
  })

  test('two devices tag one task: both tags are there, and the same one is there once', async () => {
    const { server, alice, bob, both } = await start()
    await alice.getRepository(Task).save(task('2', 'a', 'b', 'c'))
    await bob.getRepository(Task).save({ ...task('2', 'a', 'c'), name: 'Milk' })
    await sql(bob, `DELETE FROM "task_tags_tag" WHERE "taskId" = '1' AND "tagId" = 'a'`)
    await sql(alice, `DELETE FROM "task_tags_tag" WHERE "taskId" = '1' AND "tagId" = 'a'`)
    await both()
    expect(await links(server)).toEqual(['1 b', '2 a', '2 b', '2 c'])
  })

  test.each(['task', 'tag'])('a removed %s takes its links along, those that were made elsewhere too, and nobody is asked', async table => {
    const { server, alice, bob, both } = await start()
    const id = table === 'task' ? '2' : 'b'
    // made beside the removal: on the device that hears of it, on the one that removes, and on the server
    await sql(bob, `INSERT INTO "task_tags_tag" ("taskId", "tagId") VALUES ('2', 'b')`)
    await sql(alice, `DELETE FROM "${table}" WHERE "id" = ?`, [id])
    await sql(server, `INSERT INTO "task_tags_tag" ("taskId", "tagId") VALUES ('2', 'c')`)
    if (table === 'tag') await sql(server, `INSERT INTO "task_tags_tag" ("taskId", "tagId") VALUES ('2', 'b')`)
    await both()
    expect(await links(server)).toEqual(table === 'task' ? ['1 a', '1 b'] : ['1 a', '2 a', '2 c'])
    await sql(server, `DELETE FROM "${table}" WHERE "id" = ?`, [table === 'task' ? '1' : 'a'])
    await sql(bob, `INSERT INTO "task_tags_tag" ("taskId", "tagId") VALUES ('1', 'c')`)
    await both()
    expect(await links(bob)).toEqual(table === 'task' ? [] : ['1 c', '2 c'])
  })

  test('a removal that loses against an edit keeps the links that were made meanwhile', async () => {
    const { server, alice, bob } = await start()
    await alice.getRepository(Task).delete('2')
    await bob.getRepository(Task).save({ ...task('2', 'a', 'c'), name: 'Milk' })
    await syncAll(bob)
    await syncAll(alice, (conflicts, _, callback) => {
      for (const conflict of conflicts) conflict.takeRemote()
      callback()
    })
    await syncAll(bob)
    await syncAll(alice)
    expect(await all(alice)).toEqual(await all(server))
    expect(await all(bob)).toEqual(await all(server))
    expect(await tagsOf(bob, '2')).toContain('c')
  })

  test('a removal waits for no link, and a link for nobody', async () => {
    const { server, alice, bob, both } = await start()
    // a link comes while what it links is removed here, and the removal is not told yet
    await sql(server, `INSERT INTO "task_tags_tag" ("taskId", "tagId") VALUES ('2', 'c')`)
    await sql(alice, `DELETE FROM "task" WHERE "id" = '2'`)
    const asked: string[] = []
    await syncAll(alice, conflicts => void asked.push(...conflicts.map(({ entity, id }) => `${entity} ${id}`)))
    expect(asked).toEqual([])
    expect(await sql(server, 'SELECT "id" FROM "task"')).toEqual([{ id: '1' }])
    await both()
    // a database that was restored knows nothing of what was agreed: what is there on one side is there
    await sql(bob, `DELETE FROM "task_tags_tag" WHERE "tagId" = 'a'`)
    await sql(server, `UPDATE "sync_clock" SET "collection" = 'restored'`)
    await sql(server, `DELETE FROM "task_tags_tag" WHERE "tagId" = 'b'`)
    await both()
    expect(await links(server)).toEqual(['1 a', '1 b'])
  })

  test('an entity has links to its own kind, in a table with names of its own', async () => {
    const { server, alice, bob, both } = await start()
    const people = alice.getRepository(Person)
    await people.save(['x', 'y', 'z'].map(id => ({ id })))
    await people.save({ id: 'x', friends: [{ id: 'y' }, { id: 'x' }] })
    await both()
    await bob.getRepository(Person).save({ id: 'y', friends: [{ id: 'x' }, { id: 'z' }] })
    await both()
    const friends = async (who: DataSource) =>
      (await sql(who, 'SELECT "who", "whom" FROM "friendship" ORDER BY "who", "whom"')).map((f: any) => f.who + f.whom)
    expect(await friends(server)).toEqual(['xx', 'xy', 'yx', 'yz'])
    await bob.getRepository(Person).delete('x')
    await both()
    expect(await friends(alice)).toEqual(['yz'])
  })

  test('where it is not known which came first, a link is there, or its relation’s handler decides', async () => {
    const { server, alice } = await start()
    await alice.getRepository(Person).save([{ id: 'x' }, { id: 'y', friends: [{ id: 'x' }] }])
    await syncAll(alice)
    await alice.getRepository(Task).save(task('1', 'b'))
    await alice.getRepository(Person).save({ id: 'y', friends: [] })
    await renewHistory(server)
    const asked: unknown[] = []
    decideAboutFriends = conflicts => {
      asked.push(...conflicts.map(({ id, local, remote }) => ({ id, local, remote })))
    }
    expect(await syncAll(alice)).toMatchObject({ conflicts: 1 })
    expect(asked).toEqual([{ id: 'y/x', local: null, remote: { owner: 'y', inverse: 'x' } }])
    expect(await tagsOf(alice, '1')).toEqual(['a', 'b'])
    expect(await journal(alice.getRepository<object>('friendship')).conflicts()).toMatchObject([{ id: 'y/x' }])
    decideAboutFriends = (conflicts, updates, callback) => {
      for (const conflict of conflicts) updates.push({ id: conflict.id, _removed: true })
      callback()
    }
    await syncAll(alice)
    expect(await sql(server, 'SELECT "who" FROM "friendship"')).toEqual([])
    expect(await hasLocalChanges(alice)).toBe(false)
  })

  test('a link with columns of its own is an entity with both keys', async () => {
    const { alice, bob, both } = await start()
    await alice.getRepository(Person).save([{ id: 'x' }, { id: 'y' }])
    await alice.getRepository(Assignment).save([
      { task: { id: '1' }, taskId: '1', personId: 'x', role: 'lead' },
      { taskId: '2', personId: 'y' },
    ])
    await both()
    await alice.getRepository(Assignment).update({ taskId: '1', personId: 'x' }, { role: 'boss' })
    await bob.getRepository(Assignment).update({ taskId: '1', personId: 'x' }, { hours: 3 })
    await bob.getRepository(Person).delete('y')
    await both()
    expect(await bob.getRepository(Assignment).find({ relations: { task: true, person: true } })).toEqual([
      { taskId: '1', personId: 'x', role: 'boss', hours: 3, task: { id: '1', name: '', list: null }, person: { id: 'x' } },
    ])
  })

  test('a changed key takes the links to it along', async () => {
    const { server, alice, both } = await start()
    await sql(server, `UPDATE "task" SET "id" = '3' WHERE "id" = '1'`)
    await both()
    await sql(alice, `UPDATE "tag" SET "id" = 'd' WHERE "id" = 'a'`)
    await both()
    expect(await links(server)).toEqual(['2 d', '3 b', '3 d'])
  })

  test('what travels', async () => {
    const { server, url, post } = await start()
    const { updates } = (await (await fetch(`${url}/tasks.tags`)).json()) as any
    expect(updates).toContainEqual({ id: '1/a', owner: '1', inverse: 'a', _lastChange: expect.any(Number) })
    expect((await post('/tasks.tags', [{ id: '2/c', owner: '2', inverse: 'c' }])).status).toBe(200)
    expect((await post('/tasks.tags', [{ id: '1/a', _removed: true }])).status).toBe(200)
    expect((await post('/tasks.tags', [{ id: '9/c', owner: '9', inverse: 'c' }])).json.errors).toMatchObject([{ code: 'parent-missing' }])
    expect((await post('/tasks.tags', [{ id: '1/c', owner: '2', inverse: 'c' }])).status).toBe(422)
    expect(await links(server)).toEqual(['1 b', '2 a', '2 c'])
    for (const who of [server]) expect((await who.driver.createSchemaBuilder().log()).upQueries.map(q => q.query)).toEqual([])
  })

  test('a link is seen, made and removed by who sees and changes the task', async () => {
    const server = await openOn(kind, ENTITIES)
    const lists: Record<string, string[]> = { alice: ['l1', 'l2'], bob: ['l1'] }
    const { url } = await serve(server, {
      principal: ctx => ({ id: ctx.get('authorization') }),
      rules: [
        rule(Task, { read: p => ({ list: lists[p.id]! }), write: p => ({ list: lists[p.id]!, name: 'open' }) }),
        rule(Tag, { read: () => true }),
        rule(Person, { read: () => true }),
        rule(Assignment, { read: () => false }),
      ],
    })
    const alice = await openOn('sqljs', ENTITIES, { server: url, headers: { Authorization: 'alice' } })
    const bob = await openOn(kind, ENTITIES, { server: url, headers: { Authorization: 'bob' } })
    await alice.getRepository(Tag).save([{ id: 'a' }, { id: 'b' }])
    await alice.getRepository(Task).save([
      { ...task('1', 'a'), list: 'l1', name: 'open' },
      { ...task('2', 'a'), list: 'l2', name: 'open' },
    ])
    for (const who of [alice, bob]) await syncAll(who)
    expect([await links(bob), await links(alice)]).toEqual([['1 a'], ['1 a', '2 a']])
    await bob.getRepository(Task).save(task('1', 'b'))
    for (const who of [bob, alice]) await syncAll(who)
    expect(await links(alice)).toEqual(['1 b', '2 a'])
    // the task moves to a list of Bob's, and its links with it
    await sql(server, `UPDATE "task" SET "list" = 'l1' WHERE "id" = '2'`)
    await syncAll(bob)
    expect(await links(bob)).toEqual(['1 b', '2 a'])
    // and out of it
    await sql(server, `UPDATE "task" SET "list" = 'l2' WHERE "id" = '1'`)
    await syncAll(bob)
    expect(await links(bob)).toEqual(['2 a'])
    // a tag goes, also from tasks that are not seen
    await alice.getRepository(Tag).save({ id: 'c', tasks: [{ id: '1' }, { id: '2' }] })
    for (const who of [alice, bob]) await syncAll(who)
    await bob.getRepository(Tag).delete('c')
    for (const who of [bob, alice]) await syncAll(who)
    expect([await links(server), await links(alice)]).toEqual([
      ['1 b', '2 a'],
      ['1 b', '2 a'],
    ])
    // what may not be changed has the tags that it has
    await sql(server, `UPDATE "task" SET "name" = 'closed' WHERE "id" = '2'`)
    await syncAll(bob)
    await bob.getRepository(Task).save(task('2', 'b'))
    await syncAll(bob)
    expect(await links(server)).toEqual(['1 b', '2 a'])
    const rejected = await journal(bob.getRepository<object>('task_tags_tag')).rejected()
    expect(rejected.map(({ id, code }) => [id, code]).sort()).toEqual([
      ['2/a', 'not-allowed'],
      ['2/b', 'not-allowed'],
    ])
  })
})

@Entity('word')
@EnableSync('/words')
class Word {
  @PrimaryColumn('varchar', key)
  id!: string

  @Column('varchar', { length: 50, unique: true })
  word!: string
}

@Entity('text')
@EnableSync('/texts')
class Text {
  @PrimaryColumn('varchar', key)
  id!: string

  @ManyToMany(() => Word)
  @JoinTable()
  words!: Relation<Word>[]
}

test('where two words are made one, what had the one has the other', async () => {
  const entities = [Word, Text]
  const server = await openOn('libsql', entities)
  const { url } = await serve(server)
  const alice = await openOn('sqljs', entities, { server: url })
  const bob = await openOn('sqljs', entities, { server: url })
  await alice.getRepository(Word).save({ id: 'a', word: 'milk' })
  await alice.getRepository(Text).save({ id: '1', words: [{ id: 'a' }] })
  await bob.getRepository(Word).save({ id: 'b', word: 'milk' })
  await bob.getRepository(Text).save([
    { id: '2', words: [{ id: 'b' }] },
    { id: '3', words: [{ id: 'b' }] },
  ])
  await syncAll(alice)
  await syncAll(bob)
  await journal(bob.getRepository(Word)).resolve('a', { word: 'milk' }, { replaces: 'b' })
  for (const who of [bob, alice]) await syncAll(who)
  for (const who of [server, alice, bob]) {
    const texts = await who.getRepository(Text).find({ relations: { words: true }, order: { id: 'ASC' } })
    expect(texts.map(({ id, words }) => [id, words.map(w => w.id)])).toEqual([
      ['1', ['a']],
      ['2', ['a']],
      ['3', ['a']],
    ])
  }
  for (const who of [alice, bob]) expect(await hasLocalChanges(who)).toBe(false)
})
