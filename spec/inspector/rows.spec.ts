// The inspector reads and decides every kind of property by the name that a conflict gives it.

import { expect, test } from '@jest/globals'
import { type DataSource, EntitySchema, type ObjectLiteral } from 'typeorm'
import { enableSync, journal, servers, syncAll } from 'typeorm-sync'
import { differences, isSame, type Property, propertiesOf, repositoryOf, valueAt } from '../../inspector/rows.js'
import { textOf } from '../../inspector/values.js'
import { device, startServer } from '../stories/devices.js'

const id = { type: 'varchar', length: 64, primary: true } as const
const text = { type: 'varchar', nullable: true } as const

const Team = new EntitySchema({ name: 'ShownTeam', tableName: 'shown_team', columns: { id } })
const Address = new EntitySchema<{ city: string | null }>({ name: 'ShownAddress', columns: { city: text } })
const Person = new EntitySchema<ObjectLiteral>({
  ...{ name: 'ShownPerson', tableName: 'shown_person' },
  columns: {
    id,
    name: text,
    clubId: { ...text, length: 64 },
    born: { type: 'datetime', nullable: true },
    photo: { type: 'blob', nullable: true },
  },
  embeddeds: { address: { schema: Address } },
  relations: {
    team: { type: 'many-to-one', target: 'ShownTeam', nullable: true },
    lazyTeam: { type: 'many-to-one', target: 'ShownTeam', nullable: true, lazy: true },
    club: { type: 'many-to-one', target: 'ShownTeam', nullable: true, joinColumn: { name: 'clubId' } },
  },
})
enableSync(Team, '/shownTeams')
enableSync(Person, '/shownPeople')

const change = (who: DataSource, team: string, city: string, year: number) =>
  who.query(
    'UPDATE shown_person SET name = ?, "teamId" = ?, "lazyTeamId" = ?, "clubId" = ?, "addressCity" = ?, born = ?, photo = ? WHERE id = ?',
    [city, team, team, team, city, `${year}-01-01 00:00:00.000`, Uint8Array.of(year % 256), 'p'],
  )

test('each property of a conflict is one that can be shown, and its decision is stored', async () => {
  const server = await startServer([Team, Person])
  const [alice, bob] = [await device([Team, Person], server.url), await device([Team, Person], server.url)]
  await alice.getRepository(Team).save([{ id: 'a' }, { id: 'b' }, { id: 'c' }])
  await alice.getRepository(Person).save({ id: 'p', address: { city: null } })
  await syncAll(alice)
  await syncAll(bob)
  await change(alice, 'a', 'Bonn', 2001)
  await change(bob, 'b', 'Rome', 2002)
  await syncAll(alice)
  await syncAll(bob)
  const people = journal(bob.getRepository(Person))
  const [conflict] = await people.conflicts()
  const properties = propertiesOf(bob, 'ShownPerson')
  const paths = properties.map(({ path }) => path).sort()
  expect(paths).toEqual(['address.city', 'born', 'clubId', 'lazyTeam', 'name', 'photo', 'team'])
  expect([...(conflict?.properties ?? [])].sort()).toEqual(paths)
  expect(differences(properties, conflict?.local, conflict?.remote)).toHaveLength(paths.length)
  const shown = (property: Property) => {
    const value = valueAt(conflict?.remote, property)
    return textOf(property.key ? (value as ObjectLiteral)[property.key] : value)
  }
  expect(Object.fromEntries(properties.map(property => [property.path, shown(property)]))).toEqual({
    ...{
      'address.city': 'Bonn',
      born: '2001-01-01 00:00:00.000Z',
      clubId: 'a',
      lazyTeam: 'a',
      name: 'Bonn',
      photo: '1 B of bytes: d1',
      team: 'a',
    },
  })

  const winner = {}
  for (const property of properties)
    property.write(winner, valueAt(property.path === 'name' ? conflict?.local : conflict?.remote, property))
  await people.resolve('p', winner)
  await syncAll(bob)
  await syncAll(alice)
  const row = (who: DataSource) => who.query('SELECT name, "teamId", "lazyTeamId", "clubId", "addressCity", born FROM shown_person')
  const decided = { name: 'Rome', teamId: 'a', lazyTeamId: 'a', clubId: 'a', addressCity: 'Bonn', born: '2001-01-01 00:00:00.000' }
  expect(await row(alice)).toEqual([decided])
  expect(await row(bob)).toEqual([decided])
  await Promise.all([alice.destroy(), bob.destroy(), server.stop()])
})

const Label = new EntitySchema({ name: 'ShownLabel', tableName: 'shown_label', columns: { id, name: text } })
const Album = new EntitySchema<ObjectLiteral>({
  ...{ name: 'ShownAlbum', tableName: 'shown_album', columns: { id, name: text } },
  relations: { labels: { type: 'many-to-many', target: 'ShownLabel', joinTable: true } },
})
enableSync(Label, '/shownLabels')
enableSync(Album, '/shownAlbums')

test('a link of two rows is shown by the names of both', async () => {
  const server = await startServer([Label, Album])
  const here = await device([Label, Album], server.url)
  await here.getRepository(Label).save({ id: 'sea', name: 'Sea' })
  await here.getRepository(Album).save({ id: 'may', name: 'May', labels: [{ id: 'sea' }] })
  const link = 'ShownAlbum.labels'
  expect((await servers(here)).map(({ entity }) => entity)).toContain(link)
  const [row] = await journal(repositoryOf(here, link)).pending()
  const properties = propertiesOf(here, link)
  const names = properties.map(async property => {
    const value = valueAt(row?.local, property)
    return property.nameOf?.(property.key ? (value as ObjectLiteral)[property.key] : value)
  })
  expect((await Promise.all(names)).sort()).toEqual(['May', 'Sea'])
  await Promise.all([here.destroy(), server.stop()])
})

test.each([
  [null, 'null'],
  [null, undefined],
  ['', null],
  [1, '1'],
  [true, 'true'],
  [{ a: 1 }, { a: 2 }],
  [[undefined], [null]],
  [new Date(1), new Date(2)],
  [new Date(0), '1970-01-01T00:00:00.000Z'],
  [new Date(Number.NaN), null],
  [Uint8Array.of(1, 2), Uint8Array.of(2, 1)],
  [Uint8Array.of(), ''],
  [10n, 10],
])('%p is told from %p', (one, other) => {
  expect(isSame(one, other)).toBe(false)
  expect(isSame(one, one)).toBe(true)
})
