// The sample apps of TypeORM's and Nest's documentation: their entities as they stand there, and a decorator more. The rows are counted, and two devices make
// some without a network.

import 'reflect-metadata'
import { describe, expect, test } from '@jest/globals'
import {
  Column,
  type DataSource,
  type DataSourceOptions,
  Entity,
  JoinColumn,
  JoinTable,
  ManyToMany,
  ManyToOne,
  OneToMany,
  OneToOne,
  PrimaryGeneratedColumn,
  type Relation,
} from 'typeorm'
import { EnableSync, hasLocalChanges, syncAll } from 'typeorm-sync'
import { openOn, SERVERS, serve } from '../support/eachDatabase.js'

/** A server with this kind of database, and two devices. */
async function open(kind: (typeof SERVERS)[number], entities: DataSourceOptions['entities']) {
  const there = await openOn(kind, entities)
  const { url } = await serve(there)
  const [ann, bob] = [await openOn('libsql', entities, { server: url }), await openOn('sqljs', entities, { server: url })]
  const sync = async () => {
    for (const device of [ann, bob, ann]) await syncAll(device)
    expect([await hasLocalChanges(ann), await hasLocalChanges(bob)]).toEqual([false, false])
  }
  return { there, ann, bob, sync, all: [there, ann, bob] }
}

// ---------------------------------------------------------------- photos, their metadata, authors and albums: TypeORM's first steps

@Entity()
@EnableSync('/photos')
class Photo {
  @PrimaryGeneratedColumn()
  id!: number

  @Column({ length: 100 })
  name!: string

  @Column('text')
  description!: string

  @Column()
  filename!: string

  @Column('float')
  views!: number

  @Column()
  isPublished!: boolean

  @OneToOne(
    () => PhotoMetadata,
    photoMetadata => photoMetadata.photo,
    { cascade: true },
  )
  metadata!: Relation<PhotoMetadata>

  @ManyToOne(
    () => Author,
    author => author.photos,
  )
  author!: Relation<Author>

  @ManyToMany(
    () => Album,
    album => album.photos,
  )
  albums!: Relation<Album>[]
}

@Entity()
@EnableSync('/metadata')
class PhotoMetadata {
  @PrimaryGeneratedColumn()
  id!: number

  @Column('int')
  height!: number

  @Column('int')
  width!: number

  @Column()
  orientation!: string

  @Column()
  compressed!: boolean

  @Column()
  comment!: string

  @OneToOne(
    () => Photo,
    photo => photo.metadata,
  )
  @JoinColumn()
  photo!: Relation<Photo>
}

@Entity()
@EnableSync('/authors')
class Author {
  @PrimaryGeneratedColumn()
  id!: number

  @Column()
  name!: string

  @OneToMany(
    () => Photo,
    photo => photo.author,
  )
  photos!: Relation<Photo>[]
}

@Entity()
@EnableSync('/albums')
class Album {
  @PrimaryGeneratedColumn()
  id!: number

  @Column()
  name!: string

  @ManyToMany(
    () => Photo,
    photo => photo.albums,
  )
  @JoinTable()
  photos!: Relation<Photo>[]
}

describe.each(SERVERS)("photos, their metadata, authors and albums of TypeORM's first steps, on %s", kind => {
  const photo = (name: string) => ({ name, description: `I am near ${name}`, filename: `${name}.jpg`, views: 1.5, isPublished: true })
  const metadata = { height: 640, width: 480, compressed: true, comment: 'cybershoot', orientation: 'portrait' }
  /** What an application reads, without the numbers, which each database counts for itself. */
  const read = async (dataSource: DataSource) => {
    const photos = await dataSource
      .getRepository(Photo)
      .find({ relations: { metadata: true, author: true, albums: true }, order: { name: 'ASC' } })
    return photos.map(({ name, filename, views, isPublished, metadata, author, albums }) => ({
      ...{ name, filename, views, isPublished, author: author?.name ?? null },
      metadata: metadata && { height: metadata.height, compressed: metadata.compressed, comment: metadata.comment },
      albums: albums.map(a => a.name).sort(),
    }))
  }

  test('are the same on two devices, with all that leads from one to another', async () => {
    const { ann, bob, sync, all } = await open(kind, [Photo, PhotoMetadata, Author, Album])
    const umed = await ann.getRepository(Author).save({ name: 'Umed' })
    const [bears, me] = await ann.getRepository(Album).save([{ name: 'Bears' }, { name: 'Me' }])
    await ann.getRepository(Photo).save({ ...photo('Bears'), metadata, author: umed, albums: [bears, me] as Album[] })
    // the same numbers, of other rows
    const other = await bob.getRepository(Author).save({ name: 'Other' })
    await bob.getRepository(Photo).save([
      { ...photo('Bees'), metadata: { ...metadata, comment: 'macro' }, author: other },
      { ...photo('Ants'), author: other },
    ])
    await sync()
    const [first] = await read(ann)
    expect(first).toMatchObject({ name: 'Ants', author: 'Other', metadata: null, albums: [] })
    for (const each of all)
      expect(await read(each)).toMatchObject([
        { name: 'Ants' },
        { name: 'Bears', author: 'Umed', metadata: { height: 640, compressed: true, comment: 'cybershoot' }, albums: ['Bears', 'Me'] },
        { name: 'Bees', author: 'Other', metadata: { comment: 'macro' } },
      ])

    // each changes what the other one has made
    const found = await bob.getRepository(Photo).findOneOrFail({ where: { name: 'Bears' }, relations: { albums: true, metadata: true } })
    found.albums = found.albums.filter(a => a.name === 'Me')
    found.metadata.comment = 'changed'
    found.author = other as Author
    await bob.getRepository(Photo).save(found)
    const bees = await ann.getRepository(Photo).findOneByOrFail({ name: 'Bees' })
    await ann.getRepository(PhotoMetadata).delete({ photo: { id: bees.id } })
    await ann.getRepository(Photo).remove(bees)
    await sync()
    for (const each of all) {
      expect(await read(each)).toMatchObject([
        { name: 'Ants' },
        { name: 'Bears', author: 'Other', metadata: { comment: 'changed' }, albums: ['Me'] },
      ])
      expect(await each.getRepository(PhotoMetadata).count()).toBe(1)
    }
  })
})

// ---------------------------------------------------------------- a blog with categories: TypeORM's many-to-many

@Entity()
@EnableSync('/categories')
class Category {
  @PrimaryGeneratedColumn()
  id!: number

  @Column()
  name!: string
}

@Entity()
@EnableSync('/questions')
class Question {
  @PrimaryGeneratedColumn()
  id!: number

  @Column()
  title!: string

  @Column()
  text!: string

  @ManyToMany(() => Category, { cascade: true })
  @JoinTable()
  categories!: Relation<Category>[]
}

describe.each(SERVERS)('a blog with categories, on %s', kind => {
  const read = async (dataSource: DataSource) => {
    const questions = await dataSource.getRepository(Question).find({ relations: { categories: true }, order: { title: 'ASC' } })
    return questions.map(({ title, text, categories }) => [title, text, categories.map(c => c.name).sort()])
  }

  test('has the same questions with the same categories on two devices', async () => {
    const { ann, bob, sync, all } = await open(kind, [Question, Category])
    await ann
      .getRepository(Question)
      .save({ title: 'dogs', text: 'who let the dogs out?', categories: [{ name: 'animals' }, { name: 'zoo' }] })
    await bob.getRepository(Question).save({ title: 'cats', text: 'and the cats?', categories: [{ name: 'pets' }] })
    await sync()
    for (const each of all)
      expect(await read(each)).toEqual([
        ['cats', 'and the cats?', ['pets']],
        ['dogs', 'who let the dogs out?', ['animals', 'zoo']],
      ])
    // as the documentation removes, and adds
    const question = await bob.getRepository(Question).findOneOrFail({ relations: { categories: true }, where: { title: 'dogs' } })
    question.categories = question.categories.filter(category => category.name !== 'zoo')
    await bob.getRepository(Question).save(question)
    const pets = await ann.getRepository(Category).findOneByOrFail({ name: 'pets' })
    const dogs = await ann.getRepository(Question).findOneByOrFail({ title: 'dogs' })
    await ann.createQueryBuilder().relation(Question, 'categories').of(dogs).add(pets)
    await sync()
    for (const each of all)
      expect(await read(each)).toEqual([
        ['cats', 'and the cats?', ['pets']],
        ['dogs', 'who let the dogs out?', ['animals', 'pets']],
      ])
  })
})

// ---------------------------------------------------------------- users with photos: Nest's starter

@Entity('user')
@EnableSync('/users')
class User {
  @PrimaryGeneratedColumn()
  id!: number

  @Column()
  firstName!: string

  @Column()
  lastName!: string

  @Column({ default: true })
  isActive!: boolean

  @OneToMany(
    () => UserPhoto,
    photo => photo.user,
  )
  photos!: Relation<UserPhoto>[]
}

@Entity('user_photo')
@EnableSync('/userPhotos')
class UserPhoto {
  @PrimaryGeneratedColumn()
  id!: number

  @Column()
  url!: string

  @ManyToOne(
    () => User,
    user => user.photos,
  )
  user!: Relation<User>
}

describe.each(SERVERS)("users with photos of Nest's starter, on %s", kind => {
  const read = async (dataSource: DataSource) => {
    const users = await dataSource.getRepository(User).find({ relations: { photos: true }, order: { firstName: 'ASC' } })
    return users.map(({ firstName, lastName, isActive, photos }) => [firstName, lastName, isActive, photos.map(p => p.url).sort()])
  }

  test('are the same on two devices', async () => {
    const { there, ann, bob, sync, all } = await open(kind, [User, UserPhoto])
    // by the server's own code, as a controller of Nest makes them
    await there.getRepository(User).save({ firstName: 'Kamil', lastName: 'Mysliwiec' })
    const timber = await ann.getRepository(User).save({ firstName: 'Timber', lastName: 'Saw' })
    await ann.getRepository(UserPhoto).save([
      { url: 'me.jpg', user: timber },
      { url: 'bears.jpg', user: timber },
    ])
    await bob.getRepository(User).save({ firstName: 'Phantom', lastName: 'Lancer', isActive: false })
    await sync()
    for (const each of all)
      expect(await read(each)).toEqual([
        ['Kamil', 'Mysliwiec', true, []],
        ['Phantom', 'Lancer', false, []],
        ['Timber', 'Saw', true, ['bears.jpg', 'me.jpg']],
      ])
    const phantom = await bob.getRepository(User).findOneByOrFail({ firstName: 'Phantom' })
    await bob.getRepository(UserPhoto).update({ url: 'bears.jpg' }, { user: phantom })
    await ann.getRepository(User).update({ firstName: 'Phantom' }, { isActive: true })
    await sync()
    for (const each of all)
      expect(await read(each)).toEqual([
        ['Kamil', 'Mysliwiec', true, []],
        ['Phantom', 'Lancer', true, ['bears.jpg']],
        ['Timber', 'Saw', true, ['me.jpg']],
      ])
  })
})
