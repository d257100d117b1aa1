import 'reflect-metadata'
import { expect, test } from '@jest/globals'
import { Column, Entity, EntitySchema, JoinColumn, OneToOne, PrimaryColumn, type Relation } from 'typeorm'
import { EnableSync, enableSync, SyncedEntity } from 'typeorm-sync'
import { openOn, SERVERS } from '../support/eachDatabase.js'

@Entity('member')
@EnableSync('/memberChanges')
class Member extends SyncedEntity {
  @PrimaryColumn('varchar', { length: 255 }) id!: string
  @Column('varchar', { length: 255, default: '' }) name!: string
}

// its key is another row's
@Entity('profile')
@EnableSync('/profileChanges')
class Profile extends SyncedEntity {
  @PrimaryColumn('varchar', { length: 255 }) id!: string
  @OneToOne(() => Member, { cascade: true }) @JoinColumn({ name: 'id' }) member!: Relation<Member>
}

const Note = new EntitySchema<{ id: string; text: string }>({
  name: 'Note',
  tableName: 'note',
  columns: { id: { type: 'varchar', length: 255, primary: true }, text: { type: 'varchar', length: 255 } },
})
enableSync(Note, '/noteChanges')

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

test.each(['sqljs' as const, ...SERVERS])('a text key that is left out becomes a UUID, and one that is given stays (%s)', async kind => {
  const database = await openOn(kind, [Member, Profile, Note])
  const members = database.getRepository(Member)
  const plain = await members.save({ name: 'Alice' })
  const [made, given] = await members.save([members.create({ name: 'Bob' }), { id: 'ABC', name: 'Carol' }])
  expect([plain.id, made?.id]).toEqual([expect.stringMatching(UUID), expect.stringMatching(UUID)])
  expect(given?.id).toBe('ABC')
  const inserted = await members.insert([{ name: 'Dora' }, { id: 'xyz', name: 'Eve' }])
  expect(inserted.identifiers).toEqual([{ id: expect.stringMatching(UUID) }, { id: 'xyz' }])
  await members.save({ id: 'ABC', name: 'Carla' })
  expect(await members.count()).toBe(5)
  const note = await database.getRepository(Note).save({ text: 'Hello' } as never)
  expect(note).toMatchObject({ id: expect.stringMatching(UUID) })
  const profile = await database.getRepository(Profile).save({ member: plain })
  expect(await database.getRepository(Profile).find()).toMatchObject([{ id: plain.id }])
  expect(profile.member.id).toBe(plain.id)
  // of a row that is made along with it
  await database.getRepository(Profile).save({ member: { name: 'Fay' } })
  const fay = await members.findOneByOrFail({ name: 'Fay' })
  expect(await database.getRepository(Profile).countBy({ id: fay.id })).toBe(1)
})

test('a data source that is opened again makes them as before', async () => {
  const database = await openOn('libsql', [Note])
  await database.destroy()
  await database.initialize()
  expect(await database.getRepository(Note).save({ text: 'Hello' } as never)).toMatchObject({ id: expect.stringMatching(UUID) })
})
