import 'reflect-metadata'
import { describe, expect, test } from '@jest/globals'
import { type DataSource, EntitySchema } from 'typeorm'
import { enableSync, hasLocalChanges, journal, preferRemoteConflictHandler, syncAll } from 'typeorm-sync'
import { type Kind, openOn, SERVERS, serve, sql } from '../support/eachDatabase.js'
import { Wire, withoutFeed } from './devices.js'

// A team has a captain, who is one of its players, who belong to a team.
const text = { type: 'varchar', length: 100 } as const
const columns = { id: { ...text, primary: true }, name: { ...text, default: '' } } as const
const teamOf = (name: string, player: string) =>
  new EntitySchema<any>({
    ...{ name, tableName: name, columns },
    relations: { captain: { type: 'many-to-one', target: player, nullable: true, onDelete: 'SET NULL' } },
  })
const playerOf = (name: string, team: string, nullable: boolean) =>
  new EntitySchema<any>({
    ...{ name, tableName: name, columns },
    relations: { team: { type: 'many-to-one', target: team, nullable, onDelete: nullable ? 'SET NULL' : 'RESTRICT' } },
  })
const [Team, Player] = [teamOf('team', 'player'), playerOf('player', 'team', true)]
const [Club, Member] = [teamOf('club', 'member'), playerOf('member', 'club', false)]
for (const entity of [Team, Player, Club, Member]) enableSync(entity, `/${entity.options.name}s`)

const KINDS = SERVERS.flatMap(kind => [true, false].map(hasFeed => ({ kind, hasFeed })))

describe.each(KINDS)('on $kind, with a feed: $hasFeed, rows of two entities that need each other', ({ kind, hasFeed }) => {
  const device: Kind = kind === 'libsql' ? 'sqljs' : kind
  const start = async (entities = [Team, Player], on = device) => {
    const server = await openOn(kind, entities)
    const { url } = await serve(server, { before: hasFeed ? [] : [withoutFeed] })
    const wire = new Wire()
    const open = () => openOn(on, entities, { server: url, fetch: wire.fetch })
    const alice = await open()
    return { server, alice, wire, open }
  }
  const makeTeam = async (of: DataSource) => {
    await of.getRepository(Team).insert({ id: 't', name: 'Reds' })
    await of.getRepository(Player).insert({ id: 'p', name: 'Ann', team: { id: 't' } })
    await of.getRepository(Team).update('t', { captain: { id: 'p' } })
  }
  const stateOf = async (of: DataSource, team = 'team', player = 'player') => ({
    captains: (await sql(of, `SELECT * FROM "${team}" ORDER BY "id"`)).map((r: any) => [r.id, r.name, r.captainId]),
    teams: (await sql(of, `SELECT * FROM "${player}" ORDER BY "id"`)).map((r: any) => [r.id, r.teamId]),
  })
  const expectRest = async (of: DataSource, entities = [Team, Player]) => {
    expect(await syncAll(of)).toMatchObject({ pushed: 0, unapplied: 0, rejected: 0, unknownThere: [] })
    expect(await hasLocalChanges(of)).toBe(false)
    for (const entity of entities) expect(await journal(of.getRepository(entity)).pending()).toEqual([])
  }
  const whole = { captains: [['t', 'Reds', 'p']], teams: [['p', 't']] }

  test('made offline, arrive: at once with the feed; else one of them follows with the next sync, and is pending until then', async () => {
    const { server, alice, wire, open } = await start()
    await makeTeam(alice)
    expect(await syncAll(alice)).toMatchObject({ pushed: 2, rejected: 0 })
    expect(await hasLocalChanges(alice)).toBe(!hasFeed)
    if (!hasFeed) expect(await syncAll(alice)).toMatchObject({ pushed: 1, rejected: 0 })
    expect(await stateOf(server)).toEqual(whole)
    wire.mend()
    await expectRest(alice)
    expect(wire.requests).toHaveLength(hasFeed ? 1 : 2)
    const bob = await open()
    await syncAll(bob)
    expect(await stateOf(bob)).toEqual(whole)
    await expectRest(bob)
  })

  test('arrive where one of the two references may not be null', async () => {
    const entities = [Club, Member]
    const { server, alice, open } = await start(entities)
    await alice.getRepository(Club).insert({ id: 't', name: 'Reds' })
    await alice.getRepository(Member).insert({ id: 'p', team: { id: 't' } })
    await alice.getRepository(Club).update('t', { captain: { id: 'p' } })
    for (let i = 0; i < 3; i++) await syncAll(alice)
    expect(await stateOf(server, 'club', 'member')).toEqual(whole)
    await expectRest(alice, entities)
    const bob = await open()
    await syncAll(bob)
    expect(await stateOf(bob, 'club', 'member')).toEqual(whole)
  })

  test('are no conflict with oneself where others change the row before the reference follows', async () => {
    const { server, alice, open } = await start()
    await makeTeam(alice)
    await syncAll(alice)
    const bob = await open()
    await syncAll(bob)
    await bob.getRepository(Team).update('t', { name: 'Blues' })
    await bob.getRepository(Player).update('p', { name: 'Anna' })
    await syncAll(bob)
    expect(await syncAll(alice)).toMatchObject({ conflicts: 0, unapplied: 0, rejected: 0 })
    await syncAll(alice)
    expect(await stateOf(server)).toEqual({ captains: [['t', 'Blues', 'p']], teams: [['p', 't']] })
    await expectRest(alice)
  })

  test.each([
    ['is given up', null],
    ['is another one', 'q'],
  ])('a reference that %s meanwhile is pushed as it is then', async (_, captain) => {
    const { server, alice } = await start()
    await makeTeam(alice)
    await syncAll(alice)
    await alice.getRepository(Player).insert({ id: 'q', team: { id: 't' } })
    await alice.getRepository(Team).update('t', { captain: captain && { id: captain } })
    if (!captain) await alice.getRepository(Player).update('p', { team: null })
    for (let i = 0; i < 3; i++) await syncAll(alice)
    expect((await stateOf(server)).captains).toEqual([['t', 'Reds', captain]])
    await expectRest(alice)
  })

  test('arrive whatever answer is lost', async () => {
    for (let lost = 1; lost <= 6; lost++) {
      const { server, alice, wire } = await start()
      await makeTeam(alice)
      let posts = 0
      wire.after = ({ method }) => {
        if (method === 'POST' && ++posts === lost) throw new TypeError('fetch failed')
      }
      for (let i = 0; i < 4; i++) await syncAll(alice).catch(() => {})
      wire.mend()
      for (let i = 0; i < 2; i++) await syncAll(alice)
      expect({ lost, ...(await stateOf(server)) }).toEqual({ lost, ...whole })
      await expectRest(alice)
    }
  })

  test('come back together where both were removed here, and the server’s side is applied', async () => {
    const entities = [Club, Member]
    const { server, alice } = await start(entities)
    await server.getRepository(Club).insert({ id: 't', name: 'Reds' })
    await server.getRepository(Member).insert({ id: 'p', team: { id: 't' } })
    await server.getRepository(Club).update('t', { captain: { id: 'p' } })
    await syncAll(alice)
    await alice.getRepository(Club).update('t', { captain: null })
    await alice.getRepository(Member).delete('p')
    await alice.getRepository(Club).delete('t')
    await server.getRepository(Club).update('t', { name: 'Blues' })
    await server.getRepository(Member).update('p', { name: 'Ann' })
    for (let i = 0; i < 3; i++) await syncAll(alice, preferRemoteConflictHandler)
    expect(await stateOf(alice, 'club', 'member')).toEqual({ captains: [['t', 'Blues', 'p']], teams: [['p', 't']] })
    await expectRest(alice, entities)
  })

  const reject = (on: DataSource, table: string, check: string) =>
    sql(on, `ALTER TABLE "${table}" ADD CONSTRAINT "no_${table}" CHECK (NOT (${check.replaceAll('NEW.', '')}))`).catch(async () => {
      await sql(on, `CREATE TRIGGER no_${table} BEFORE INSERT ON ${table} WHEN ${check} BEGIN SELECT RAISE(ABORT, 'no'); END`)
    })

  test('say what is missing where the other one is rejected for good', async () => {
    const { server, alice } = await start()
    await reject(server, 'player', `NEW."name" = 'Ann'`)
    await makeTeam(alice)
    for (let i = 0; i < 3; i++) await syncAll(alice)
    expect(await stateOf(server)).toEqual({ captains: [['t', 'Reds', null]], teams: [] })
    expect(await journal(alice.getRepository(Player)).rejected()).toMatchObject([{ id: 'p', code: 'not-valid' }])
    expect(await journal(alice.getRepository(Team)).rejected()).toMatchObject([{ id: 't', code: 'parent-missing', property: 'captain' }])
    expect((await stateOf(alice)).captains).toEqual([['t', 'Reds', 'p']])
  })

  test('are not asked about with each poll where the server rejects both', async () => {
    const { server, alice, wire } = await start()
    await reject(server, 'player', `NEW."name" = 'Ann'`)
    // once the reference is put off
    let isPutOff = false
    wire.after = async (_, __, response) => {
      if (isPutOff || !(await response.clone().text()).includes('parent-missing')) return
      isPutOff = true
      await reject(server, 'team', `NEW."name" = 'Reds'`)
    }
    await makeTeam(alice)
    for (let i = 0; i < 3; i++) await syncAll(alice)
    expect(await journal(alice.getRepository(Player)).rejected()).toMatchObject([{ id: 'p', code: 'not-valid' }])
    expect(await journal(alice.getRepository(Team)).rejected()).toMatchObject([{ id: 't', code: 'not-valid' }])
    expect(isPutOff).toBe(true)
    wire.mend()
    await syncAll(alice)
    expect(wire.requests.filter(({ url }) => url.includes('properties='))).toEqual([])
  })
})
