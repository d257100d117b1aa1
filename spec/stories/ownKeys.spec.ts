// An entity whose key is a foreign key: a profile has the id of its user.

import 'reflect-metadata'
import { afterEach, describe, expect, test } from '@jest/globals'
import { Column, type DataSource, Entity, JoinColumn, ManyToOne, OneToOne, PrimaryColumn, type Relation } from 'typeorm'
import { EnableSync, SyncConfigurationError, syncAll } from 'typeorm-sync'
import { mysqlUrl } from '../support/mysqlServer.js'
import { postgresUrl } from '../support/postgresServer.js'
import { applyDecided, device, expectAtRest, expectEqual, startServer } from './devices.js'

@Entity('person')
@EnableSync('/people')
class Person {
  @PrimaryColumn('varchar', { length: 36 }) id!: string
  @Column({ length: 50 }) name!: string
}

@Entity('profile')
@EnableSync('/profiles')
class Profile {
  @PrimaryColumn('varchar', { length: 36 }) id!: string
  @Column({ length: 50, default: '' }) bio!: string
  @OneToOne(() => Person, { onDelete: 'CASCADE' })
  @JoinColumn({ name: 'id' })
  person!: Relation<Person>
}

@Entity('badge')
@EnableSync('/badges')
class Badge {
  @PrimaryColumn('varchar', { length: 36 }) id!: string
  @ManyToOne(() => Profile, { onDelete: 'CASCADE' }) profile!: Relation<Profile>
}

const entities = [Badge, Profile, Person]
const tables = ['person', 'profile', 'badge']

const kinds = [undefined, ...(postgresUrl ? ['postgres'] : []), ...(mysqlUrl ? ['mysql'] : [])]

describe.each(kinds)('on %s', kind => {
  let closing: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const close of closing.reverse()) await close()
    closing = []
    delete process.env.SYNC_SERVER
    delete process.env.SYNC_DEVICE
  })

  async function start(): Promise<{ there: DataSource; alice: DataSource; bob: DataSource }> {
    if (kind) process.env.SYNC_SERVER = process.env.SYNC_DEVICE = kind
    const server = await startServer(entities)
    closing.push(() => server.stop())
    const devices = [await device(entities, server.url), await device(entities, server.url)]
    closing.push(...devices.map(d => () => d.destroy()))
    return { there: server.dataSource, alice: devices[0] as DataSource, bob: devices[1] as DataSource }
  }

  const add = async (on: DataSource, id: string) => {
    await on.getRepository(Person).save({ id, name: id })
    await on.getRepository(Profile).save({ id, bio: `of ${id}` })
    await on.getRepository(Badge).save({ id: `badge of ${id}`, profile: { id } })
  }

  test('a profile with the id of its user comes, changes and goes with it', async () => {
    const { there, alice, bob } = await start()
    await add(alice, 'ann')
    await add(alice, 'ben')
    await applyDecided([alice, bob])
    await expectEqual([there, alice, bob], tables)
    expect(await bob.getRepository(Badge).count()).toBe(2)
    await bob.getRepository(Profile).update('ann', { bio: 'changed' })
    await bob.getRepository(Person).delete('ben')
    await applyDecided([bob, alice])
    await expectEqual([there, alice, bob], tables)
    expect(await alice.getRepository(Profile).find()).toEqual([{ id: 'ann', bio: 'changed' }])
    await there.getRepository(Person).delete('ann')
    await applyDecided([alice, bob])
    expect([await alice.getRepository(Badge).count(), await bob.getRepository(Profile).count()]).toEqual([0, 0])
    await expectAtRest([alice, bob])
  })

  test('a profile that was made where its user was removed meanwhile is in conflict, and applying it brings the user back', async () => {
    const { there, alice, bob } = await start()
    await alice.getRepository(Person).save({ id: 'ann', name: 'Ann' })
    await applyDecided([alice, bob])
    await alice.getRepository(Profile).save({ id: 'ann', bio: 'new' })
    await bob.getRepository(Person).delete('ann')
    await syncAll(alice)
    const report = await syncAll(bob)
    expect(report.unapplied).toBeGreaterThan(0)
    await applyDecided([bob, alice], conflicts => {
      for (const conflict of conflicts) conflict.takeRemote()
    })
    await expectEqual([there, alice, bob], tables)
    expect(await there.getRepository(Profile).find()).toEqual([{ id: 'ann', bio: 'new' }])
    await expectAtRest([alice, bob])
  })
})

@Entity('odd')
@EnableSync('/odds')
class Odd {
  @PrimaryColumn('varchar') id!: string
  @OneToOne(() => Person, { onDelete: 'SET NULL' })
  @JoinColumn({ name: 'id' })
  person!: Relation<Person>
}

test('a key that a removal would set to null is rejected', async () => {
  await expect(startServer([Odd, Person])).rejects.toThrow(SyncConfigurationError)
})
