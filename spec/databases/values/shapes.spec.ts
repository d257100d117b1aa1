import 'reflect-metadata'
import { randomUUID } from 'node:crypto'
import { describe, expect, test } from '@jest/globals'
import {
  ChildEntity,
  Column,
  CreateDateColumn,
  DefaultNamingStrategy,
  DeleteDateColumn,
  Entity,
  JoinColumn,
  ManyToOne,
  PrimaryColumn,
  type Relation,
  TableInheritance,
  UpdateDateColumn,
  VersionColumn,
} from 'typeorm'
import { getEntityValue, setEntityValue } from '../../../src/databases/columns.js'
import { Db, pairs, send, withPlainBytes } from './databases.js'

class Place {
  @Column({ nullable: true }) lat?: number
  @Column('real', { nullable: true }) lng?: number
}

class Address {
  @Column() street!: string
  @Column({ name: 'postal_code', nullable: true }) zip?: string
  @Column(() => Place) place!: Place
}

@Entity()
class Project {
  @PrimaryColumn() id!: string
  @Column() name!: string
}

@Entity()
class NumberedProject {
  @PrimaryColumn('bigint') id!: string
}

class Money {
  constructor(readonly cents: number) {}
}

const money = { to: (m: Money | null) => m?.cents, from: (cents: number | null) => (cents === null ? null : new Money(cents)) }
const reversed = { to: (s: string) => [...s].reverse().join(''), from: (s: string) => [...s].reverse().join('') }
const shouted = { to: (s: string) => s.toUpperCase(), from: (s: string) => s.toLowerCase() }
const map = { to: (m: Map<string, number>) => JSON.stringify([...m]), from: (s: string) => new Map<string, number>(JSON.parse(s)) }

enum Level {
  Low,
  High = 7,
}

@Entity('tasks')
class Task {
  @PrimaryColumn() id!: string
  @Column({ nullable: true, select: false }) _lastChange!: number
  @Column({ name: 'task_name' }) name!: string
  @Column() count!: number
  @Column() due!: Date
  @Column('blob') photo!: Buffer
  @Column({ type: 'date', utc: true }) day!: Date | string
  @Column(() => Address) home!: Address
  @Column(() => Address, { prefix: 'at' }) work!: Address
  @Column(() => Address, { prefix: false }) bare!: Address
  @Column('integer', { transformer: money, nullable: true }) price!: Money | null
  @Column({ type: String, transformer: [reversed, shouted] }) secretName!: string
  @Column('text', { transformer: map }) scores!: Map<string, number>
  @Column({ select: false }) hidden!: string
  @Column({ update: false, insert: false, nullable: true }) guarded?: string
  @Column({ asExpression: "task_name || '!'", generatedType: 'VIRTUAL', insert: false, update: false }) loud!: string
  @Column({ asExpression: "task_name || '?'", generatedType: 'STORED', insert: false, update: false }) asked!: string
  @Column('simple-enum', { enum: Level }) level!: Level
  @Column({ type: 'simple-enum', enum: Level, array: true, nullable: true }) levels!: Level[]
  @Column({ type: 'simple-enum', enum: ['a', 'b c', 3] as any }) mixed!: string | number
  @Column({ type: 'varchar', enum: ['x', 'y'] }) choice!: string
  @Column({ type: 'uuid' }) token!: string
  @VersionColumn() version!: number
  @CreateDateColumn() created!: Date
  @UpdateDateColumn() updated!: Date
  @DeleteDateColumn() deleted!: Date | null
  @ManyToOne(() => Project) project!: Relation<Project>
  @ManyToOne(() => Project, { nullable: false }) @JoinColumn({ name: 'owner' }) owning!: Relation<Project>
  @Column({ name: 'other' }) otherProjectId!: string
  @ManyToOne(() => Project) @JoinColumn({ name: 'other' }) otherProject!: Relation<Project>
  @ManyToOne(() => NumberedProject) numbered!: Relation<NumberedProject>
  @ManyToOne(() => Project, { lazy: true }) lazy!: Promise<Project>
  @ManyToOne(() => Task) parent?: Relation<Task> | null
}

@Entity()
@TableInheritance({ column: { type: 'varchar', name: 'kind' } })
class Content {
  @PrimaryColumn() id!: string
  @Column() title!: string
}

@ChildEntity()
class Photo extends Content {
  @Column() size!: number
  @Column(() => Place) place!: Place
}

@ChildEntity('Q')
class Question extends Content {
  @Column() answers!: number
}

@ChildEntity('P')
class Post extends Question {
  @Column('boolean') pinned!: boolean
}

const entities = [Project, NumberedProject, Task, Content, Photo, Question, Post]

class Shouting extends DefaultNamingStrategy {
  override columnName(property: string, given: string | undefined, prefixes: string[]): string {
    const name = super.columnName(property, given as any, prefixes)
    return given || ['id', '_lastChange'].includes(property) ? name : `C_${name}`
  }
  override joinColumnName(relation: string, referenced: string): string {
    return `FK of ${relation} ${referenced}`
  }
}

const address = (street: string): Address => ({ street, zip: '1000', place: { lat: 3, lng: -0.5 } })

async function saveTask(db: Db, more: Partial<Task> = {}): Promise<string> {
  const id = randomUUID()
  const { manager } = db.dataSource
  const project = await manager.save(Project, { id: `p ${id}`, name: 'p' })
  const other = await manager.save(Project, { id: `o ${id}`, name: 'o' })
  const numbered = { id: '9007199254740993' }
  db.all(`INSERT OR IGNORE INTO numbered_project (id) VALUES (?)`, numbered.id)
  const task = manager.create(Task, {
    id,
    _lastChange: 5,
    name: 'Buy milk',
    count: 2,
    due: new Date(1234567890123),
    photo: Buffer.from([0, 255]),
    day: new Date('2026-03-29T23:30:00Z'),
    home: address('home'),
    work: address('work'),
    bare: address('bare'),
    price: new Money(1250),
    secretName: 'abc',
    scores: new Map([['a', 1]]),
    hidden: 'hidden',
    level: Level.High,
    levels: [Level.Low, Level.High],
    mixed: 3,
    choice: 'y',
    token: 'T0',
    deleted: new Date(99),
    created: new Date('2020-02-29T12:00:00.001Z'),
    updated: new Date('2021-02-28T12:00:00.010Z'),
    project,
    owning: project,
    otherProject: other,
    numbered,
    lazy: Promise.resolve(other),
    ...more,
  })
  await manager.save(task)
  return id
}

async function open(kind: 'sqljs' | 'libsql', strategy?: Shouting): Promise<Db> {
  const db = await Db.open(kind, entities, strategy)
  db.all('PRAGMA foreign_keys = OFF')
  return db
}

describe.each(pairs)('from %s to %s', (from, to) => {
  test.each([undefined, new Shouting()])(
    'a row with everything that TypeORM knows is the same there, naming strategy %#',
    async strategy => {
      const [a, b] = [await open(from), await open(to, strategy)]
      const parent = await saveTask(a)
      const id = await saveTask(a, { parent: { id: parent } as Task })
      const wire = send(a, b, Task, id)
      const there: any = await b.find(Task, id)
      // the find of the other side says it as well
      expect(there).toEqual(await a.find(Task, id))
      expect(there).toMatchObject({ loud: 'Buy milk!', parent, otherProjectId: `o ${id}`, version: 1, price: new Money(1250) })
      expect(
        await b.dataSource.getRepository(Task).findOne({ where: { id }, withDeleted: true, select: { id: true, hidden: true } }),
      ).toMatchObject({
        hidden: 'hidden',
      })
      expect(b.cells(Task, id)).toEqual(a.cells(Task, id))
      expect(b.readWire(Task, id)).toEqual(wire)
    },
  )

  test('what the database dated by itself is the same moment there', async () => {
    const [a, b] = [await open(from), await open(to)]
    const id = await saveTask(a, { created: undefined, updated: undefined })
    send(a, b, Task, id)
    expect(await b.find(Task, id)).toEqual(await a.find(Task, id))
    const except = ['created', 'updated']
    expect(b.cells(Task, id, { except })).toEqual(a.cells(Task, id, { except }))
    expect(b.readWire(Task, id)).toEqual(a.readWire(Task, id))
  })

  test('children of a single table keep their class', async () => {
    const [a, b] = [await open(from), await open(to)]
    const { manager } = a.dataSource
    await manager.save(manager.create(Photo, { id: '1', title: 'photo', size: 3, place: { lat: 1, lng: 2 } }))
    await manager.save(manager.create(Question, { id: '2', title: 'question', answers: 4 }))
    await manager.save(manager.create(Post, { id: '3', title: 'post', answers: 5, pinned: true }))
    for (const id of ['1', '2', '3']) {
      send(a, b, Post, id)
      expect(b.cells(Content, id)).toEqual(a.cells(Content, id))
    }
    const found = await b.dataSource.manager.find(Content, { order: { id: 'ASC' } })
    expect(found).toEqual(await manager.find(Content, { order: { id: 'ASC' } }))
    expect(found.map(row => row.constructor)).toEqual([Photo, Question, Post])
  })
})

test('wire names are property paths, relations by their own name, join columns that are properties by remote', async () => {
  const names = [
    ...['name', 'count', 'due', 'photo', 'day', 'home.street', 'home.zip', 'home.place.lat', 'home.place.lng'],
    ...['work.street', 'work.zip', 'work.place.lat', 'work.place.lng', 'bare.street', 'bare.zip', 'bare.place.lat', 'bare.place.lng'],
    ...['price', 'secretName', 'scores', 'hidden', 'guarded', 'level', 'levels', 'mixed', 'choice', 'token'],
    ...['version', 'created', 'updated', 'deleted', 'project', 'owning', 'otherProjectId', 'numbered', 'lazy', 'parent'],
  ]
  for (const strategy of [undefined, new Shouting()]) {
    const db = await open('sqljs', strategy)
    expect(
      db
        .codecs(Task)
        .map(c => c.property)
        .sort(),
    ).toEqual([...names].sort())
    // SQLite gives its own types in upper case, others as they were written
    const columns = db.all(`SELECT name, "notnull", lower(type) AS type FROM pragma_table_info('tasks')`)
    for (const { column, nullable, declared } of db.codecs(Task)) {
      const described = { name: column, notnull: nullable ? 0 : 1, type: declared }
      expect(columns.filter(c => c.name === column)).toEqual([described])
    }
  }
  const db = await open('sqljs')
  const properties = ['kind', 'title', 'size', 'place.lat', 'place.lng', 'answers', 'pinned'].sort()
  for (const target of [Content, Photo, Post])
    expect(
      db
        .codecs(target)
        .map(c => c.property)
        .sort(),
    ).toEqual(properties)
})

test('what TypeORM changes by itself is known as such', async () => {
  const db = await open('sqljs')
  const automatic = db.codecs(Task).flatMap(c => (c.automatic ? [[c.property, c.automatic]] : []))
  expect(Object.fromEntries(automatic)).toEqual({ version: 'version', created: 'created', updated: 'updated' })
  const dates = db.codecs(Task).filter(c => c.isDate)
  expect(dates.map(c => c.property).sort()).toEqual(['created', 'day', 'deleted', 'due', 'updated'])
})

test('a transformer stays at home: what is stored is sent', async () => {
  const db = await open('sqljs')
  const wire = db.readWire(Task, await saveTask(db))
  expect(wire).toMatchObject({
    price: 1250,
    secretName: 'CBA',
    scores: '[["a",1]]',
    numbered: '9007199254740993',
    level: 7,
    levels: [0, 7],
    mixed: 3,
  })
  expect(wire).toMatchObject({ due: '2009-02-13T23:31:30.123Z', day: '2026-03-29', photo: 'AP8=', created: '2020-02-29T12:00:00.001Z' })
  expect(db.codec(Task, 'price').toEntity(1250)).toEqual(new Money(1250))
  expect(db.codec(Task, 'price').toEntity(null)).toBe(null)
  expect(db.codec(Task, 'price').fromEntity(new Money(7))).toBe(7)
  expect(db.codec(Task, 'secretName').toEntity('CBA')).toBe('abc')
  expect(db.codec(Task, 'scores').fromEntity(new Map([['b', 2]]))).toBe('[["b",2]]')
})

describe('values in entities', () => {
  test.each(['sqljs', 'libsql'] as const)('set from the wire, TypeORM of %s saves the same cells', async kind => {
    const [a, b] = [await open(kind), await open(kind)]
    const id = await saveTask(a)
    const wire = a.readWire(Task, id)
    const task = b.dataSource.manager.create(Task, { id, _lastChange: 1 })
    for (const codec of b.codecs(Task)) {
      setEntityValue(task, codec, codec.toEntity(wire[codec.property]!))
      expect([codec.property, codec.fromEntity(getEntityValue(task, codec))]).toEqual([codec.property, wire[codec.property]])
    }
    await b.dataSource.manager.save(task)
    await b.dataSource.manager.save(Project, { id: `p ${id}`, name: 'p' })
    expect(b.cells(Task, id)).toEqual(a.cells(Task, id))
    const found = await b.dataSource.manager.findOneOrFail(Task, { where: { id }, withDeleted: true, relations: { project: true } })
    for (const codec of b.codecs(Task)) {
      const value = getEntityValue(found, codec)
      const isLoaded = !['hidden', 'owning', 'numbered', 'lazy', 'parent'].includes(codec.property)
      expect([codec.property, value === undefined ? 'nothing' : codec.fromEntity(value)]).toEqual([
        codec.property,
        isLoaded ? wire[codec.property] : 'nothing',
      ])
    }
  })

  test('a relation moves to another row and leaves the loaded one alone', async () => {
    const db = await open('sqljs')
    const [project, other] = [db.codec(Task, 'project'), db.codec(Task, 'otherProjectId')]
    const loaded = Object.assign(new Project(), { id: 'p1', name: 'one' })
    const task = Object.assign(new Task(), { project: loaded, otherProject: loaded, otherProjectId: 'p1' })
    setEntityValue(task, project, 'p2')
    setEntityValue(task, other, 'p3')
    expect(task).toEqual(Object.assign(new Task(), { project: { id: 'p2' }, otherProject: { id: 'p3' }, otherProjectId: 'p3' }))
    expect(loaded).toEqual({ id: 'p1', name: 'one' })
    expect([getEntityValue(task, project), getEntityValue(task, other)]).toEqual(['p2', 'p3'])
    setEntityValue(task, project, null)
    setEntityValue(task, other, null)
    expect([task.project, task.otherProject, task.otherProjectId]).toEqual([null, null, null])
    expect([getEntityValue(task, project), getEntityValue(task, other)]).toEqual([null, null])
    expect(getEntityValue(new Task(), project)).toBe(undefined)
  })

  test('a lazy relation is not loaded by looking at it', async () => {
    const db = await open('sqljs')
    const task = await db.dataSource.manager.findOneOrFail(Task, { where: { id: await saveTask(db) }, withDeleted: true })
    const before = Object.keys(task).length
    expect(getEntityValue(task, db.codec(Task, 'lazy'))).toBe(undefined)
    await new Promise(resolve => setTimeout(resolve, 20))
    expect(Object.keys(task)).toHaveLength(before)
    setEntityValue(task, db.codec(Task, 'lazy'), 'p9')
    expect(await task.lazy).toEqual({ id: 'p9' })
  })

  test('plain objects are as good as entities, embedded ones are made', async () => {
    const db = await open('sqljs')
    const plain: Record<string, any> = {}
    setEntityValue(plain, db.codec(Task, 'work.place.lat'), 4)
    setEntityValue(plain, db.codec(Task, 'project'), 'p1')
    expect(withPlainBytes(plain)).toEqual({ work: { place: { lat: 4 } }, project: { id: 'p1' } })
    expect(getEntityValue({ project: 'p1' }, db.codec(Task, 'project'))).toBe('p1')
    expect(getEntityValue({}, db.codec(Task, 'work.place.lat'))).toBe(undefined)
  })

  test('an object of a child class knows its kind', async () => {
    const kind = (await open('sqljs')).codec(Content, 'kind')
    expect(getEntityValue(new Photo(), kind)).toBe('Photo')
    expect(getEntityValue(new Post(), kind)).toBe('P')
  })
})
