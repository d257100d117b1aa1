// A row that one of two servers does not show any more: what the other one shows stays, and is not told to the first.

import { expect, test } from '@jest/globals'
import { EntitySchema } from 'typeorm'
import {
  type ConflictHandler,
  enableSync,
  hasLocalChanges,
  journal,
  NetworkError,
  preferRemoteConflictHandler,
  resolveEach,
  syncAll,
} from 'typeorm-sync'
import { databaseOn, openIn, openOn, sql } from '../support/eachDatabase.js'
import { HandMade } from './handMade.js'

interface Page {
  id: string
  text: string
  mark?: string | null
}
const Page = new EntitySchema<Page>({
  ...{ name: 'TwicePage', tableName: 'twice_page' },
  columns: { id: { type: 'varchar', primary: true }, text: { type: 'varchar' }, mark: { type: 'varchar', nullable: true } },
})
enableSync(Page, ['http://one.made/pages', 'http://two.made/pages'])

async function world() {
  const [one, two] = [new HandMade(), new HandMade()]
  const phone = await openOn('libsql', [Page], {
    fetch: (input, init) => (new URL(String(input)).hostname === 'one.made' ? one : two).fetch(input, init),
  })
  const pages = phone.getRepository(Page)
  return {
    ...{ one, two, phone, pages, journal: journal(pages), sync: () => syncAll(phone) },
    texts: async () => (await pages.find({ order: { id: 'ASC' } })).map(p => `${p.id} ${p.text}`),
    /** What a server says next. */
    say: (server: HandMade, ...rows: object[]) => server.answers.push({ changes: { '/pages': rows as never } }),
    row: (server: HandMade, id: string, text: string, mark: string | null = null) => server.row(id, { text, mark }),
    kept: async () => (await sql(phone, 'SELECT local, base FROM sync_no_access')).map((n: object) => Object.values(n)),
  }
}
type World = Awaited<ReturnType<typeof world>>

/** The pushes to a server, each as the texts of its rows. */
const pushed = (server: HandMade) =>
  server.posts.map(({ changes }) =>
    Object.values(changes)
      .flat()
      .map(row => row.text ?? row._removed),
  )

/** Both show the row. */
async function shownByBoth() {
  const all = await world()
  const { one, two, say, row, sync } = all
  say(one, row(one, 'a', 'base'))
  say(two, row(two, 'a', 'base'))
  await sync()
  for (const server of [one, two]) server.posts.length = 0
  return all
}

test('it stays while another server shows it, and nothing of it is pushed to the first', async () => {
  const { one, two, say, pages, texts, sync, phone, kept } = await shownByBoth()
  say(one, one.left('a'))
  await sync()
  expect(await texts()).toEqual(['a base'])
  await pages.update('a', { text: 'ours' })
  await sync()
  expect([pushed(one), pushed(two)]).toEqual([[], [['ours']]])
  await pages.delete('a')
  await sync()
  expect([pushed(one), pushed(two)]).toEqual([[], [['ours'], [true]]])
  expect([await hasLocalChanges(phone), await kept()]).toEqual([false, [[null, null]]])
})

test('it goes when the other one shows it no more either', async () => {
  const { one, two, say, texts, sync, kept } = await shownByBoth()
  say(one, one.left('a'))
  await sync()
  say(two, two.left('a'))
  await sync()
  expect([await texts(), await kept()]).toEqual([[], []])
  expect([pushed(one), pushed(two)]).toEqual([[], []])
})

test('where it is shown again, both versions are merged, or are a conflict', async () => {
  const { one, two, say, row, texts, sync, journal, pages } = await shownByBoth()
  say(one, one.left('a'))
  await sync()
  say(two, row(two, 'a', 'of two'))
  await sync()
  expect([await texts(), pushed(one)]).toEqual([['a of two'], []])
  say(one, row(one, 'a', 'of one'))
  await sync()
  expect(await journal.conflicts()).toMatchObject([{ local: { text: 'of two' }, remote: { text: 'of one' }, properties: ['text'] }])
  await journal.resolve('a', { text: 'both' })
  await sync()
  expect([await texts(), pushed(one), pushed(two)]).toEqual([['a both'], [['both']], [['both']]])
  await pages.update('a', { text: 'later' })
  await sync()
  expect([pushed(one).at(-1), pushed(two).at(-1)]).toEqual([['later'], ['later']])
})

test('what was never pushed to the first is pushed to the other one', async () => {
  const { one, two, say, pages, texts, sync, journal } = await shownByBoth()
  await pages.update('a', { text: 'ours' })
  say(one, one.left('a'))
  await sync()
  expect([pushed(one), pushed(two), await texts(), await journal.rejected()]).toEqual([[], [['ours']], ['a ours'], []])
})

test('a removal that the first one tells of a row that it does not show says nothing', async () => {
  const { one, say, texts, sync, journal } = await shownByBoth()
  say(one, one.left('a'))
  await sync()
  say(one, one.removed('a'))
  await sync()
  expect([await texts(), await journal.conflicts()]).toEqual([['a base'], []])
})

test('a row that is being pushed to another server stays', async () => {
  const { one, two, say, row, texts, sync, phone } = await world()
  await sync()
  say(one, row(one, 'a', 'of one'))
  two.before = method => {
    if (method === 'POST') throw new TypeError('fetch failed')
  }
  await expect(sync()).rejects.toThrow()
  say(one, one.left('a'))
  await expect(sync()).rejects.toThrow()
  expect(await texts()).toEqual(['a of one'])
  two.before = undefined
  await sync()
  expect(pushed(two).flat()).toContain('of one')
  expect(pushed(one)).toEqual([])
  expect(await hasLocalChanges(phone)).toBe(false)
})

async function keptOfOne(): Promise<World> {
  const all = await world()
  const { one, two, say, row, pages, sync, texts } = all
  two.scope = 'hidden'
  say(one, row(one, 'a', 'base'))
  await sync()
  say(two, two.left('a'))
  await sync()
  // of two it was a row of ours, which it has and does not show
  await pages.update('a', { text: 'ours' })
  say(one, one.left('a'))
  await sync()
  expect(await texts()).toEqual([])
  return all
}

test('what is kept of a row comes back with another server that shows it, and is not told to the first', async () => {
  const { one, two, say, row, texts, sync, journal } = await keptOfOne()
  expect((await journal.rejected()).map(r => r.local?.text)).toContain('ours')
  for (const server of [one, two]) server.posts.length = 0
  say(two, row(two, 'a', 'of two'))
  await sync()
  expect(await journal.conflicts()).toMatchObject([{ local: { text: 'ours' }, remote: { text: 'of two' } }])
  await journal.resolve('a', { text: 'both' })
  await sync()
  expect([await texts(), pushed(one), pushed(two)]).toEqual([['a both'], [], [['both']]])
  say(one, row(one, 'a', 'base'))
  await sync()
  expect(await journal.conflicts()).toMatchObject([{ local: { text: 'both' }, remote: { text: 'base' } }])
})

test('a removal that another server tells says nothing of what is kept apart for the first', async () => {
  const { one, two, say, row, texts, sync, journal, pages } = await world()
  say(one, row(one, 'a', 'base'))
  two.replies.push({ status: 422, body: { errors: [{ collection: '/pages', id: 'a', code: 'not-allowed', detail: 'no' }] } })
  await sync()
  await pages.update('a', { text: 'ours' })
  say(one, one.left('a'))
  await sync()
  say(two, two.removed('a'))
  await sync()
  expect((await journal.rejected()).map(r => r.local?.text)).toEqual(['ours'])
  say(one, row(one, 'a', 'base'))
  await sync()
  expect([await texts(), pushed(one).at(-1)]).toEqual([['a ours'], ['ours']])
})

const paths = (name: string) => [`http://one.made/${name}`, `http://two.made/${name}`]
const id = { type: 'varchar', primary: true } as const
const Box = new EntitySchema<{ id: string }>({ ...{ name: 'TwiceBox', tableName: 'twice_box' }, columns: { id } })
enableSync(Box, paths('boxes'))
const Card = new EntitySchema<{ id: string; text: string; box: string | null }>({
  ...{ name: 'TwiceCard', tableName: 'twice_card' },
  columns: { id, text: { type: 'varchar' }, box: { type: 'varchar', nullable: true } },
  foreignKeys: [{ target: 'TwiceBox', columnNames: ['box'], referencedColumnNames: ['id'], onDelete: 'CASCADE' }],
})
enableSync(Card, paths('cards'))

async function boxes() {
  const [one, two] = [new HandMade(), new HandMade()]
  const phone = await openOn('libsql', [Box, Card], {
    fetch: (input, init) => (new URL(String(input)).hostname === 'one.made' ? one : two).fetch(input, init),
  })
  return { one, two, phone, cards: phone.getRepository(Card) }
}

test('what was made here and comes back by one server was not removed by the other one', async () => {
  const { one, two, phone, cards } = await boxes()
  one.answers.push({ changes: { '/boxes': [one.row('f', {})] } })
  two.replies.push({ status: 422, body: { errors: [{ collection: '/boxes', id: 'f', code: 'not-allowed', detail: 'no' }] } })
  await syncAll(phone)
  await cards.save({ id: 'a', text: 'made here', box: 'f' })
  one.answers.push({ changes: { '/boxes': [one.left('f')] } })
  await syncAll(phone)
  expect(await cards.find()).toEqual([])
  one.answers.push({ changes: { '/boxes': [one.row('f', {})] } })
  await syncAll(phone)
  expect(await cards.find()).toMatchObject([{ text: 'made here' }])
  expect([await journal(cards).conflicts(), await journal(cards).deferred()]).toEqual([[], []])
  expect(pushed(two).flat()).toContain('made here')
})

test('what one server never had is no edit for the other one, which moves the row to where it is seen', async () => {
  const { one, two, phone, cards } = await boxes()
  two.answers.push({ changes: { '/boxes': [two.row('f', {})], '/cards': [two.row('a', { text: 'base', box: 'f' })] } })
  const reject = (collection: string, id: string) => ({ collection, id, code: 'not-allowed', detail: 'no' })
  one.replies.push({ status: 422, body: { errors: [reject('/boxes', 'f'), reject('/cards', 'a')] } })
  await syncAll(phone)
  two.answers.push({ changes: { '/boxes': [two.left('f')] } })
  await syncAll(phone)
  expect(await cards.find()).toEqual([])
  two.answers.push({ changes: { '/cards': [two.row('a', { text: 'moved', box: 'h' })] } })
  await syncAll(phone)
  two.answers.push({ changes: { '/boxes': [two.row('g', {})], '/cards': [two.row('a', { text: 'moved', box: 'g' })] } })
  await syncAll(phone)
  expect(await cards.find()).toMatchObject([{ text: 'moved', box: 'g' }])
  expect([await journal(cards).conflicts(), await journal(cards).deferred()]).toEqual([[], []])
})

test('what one server never had is no edit for the other one, which changes the row and hangs it on one that is not seen', async () => {
  const { one, two, phone, cards } = await boxes()
  one.answers.push({ scoped: ['/boxes', '/cards'], changes: { '/cards': [one.row('a', { text: 'base', box: null })] } })
  two.replies.push({ status: 422, body: { errors: [{ collection: '/cards', id: 'a', code: 'not-allowed', detail: 'no' }] } })
  await syncAll(phone)
  one.answers.push({ changes: { '/cards': [one.row('a', { text: 'theirs', box: 'f' })] } })
  await syncAll(phone)
  await syncAll(phone)
  expect(pushed(one).flat()).toEqual([])
  one.answers.push({ changes: { '/boxes': [one.row('f', {})] } })
  await syncAll(phone)
  expect(await cards.find()).toMatchObject([{ text: 'theirs', box: 'f' }])
  expect([await journal(cards).conflicts(), await journal(cards).deferred()]).toEqual([[], []])
  expect(pushed(one).flat()).toEqual([])
})

test.each([false, true])(
  'what comes back by one server while a push to the other one is under way, which passed it by, does not count as pushed (as a conflict: %s)',
  async isContested => {
    const [one, two] = [new HandMade(), new HandMade()]
    const options = await databaseOn('libsql')
    const fetch: typeof globalThis.fetch = (input, init) => (new URL(String(input)).hostname === 'one.made' ? one : two).fetch(input, init)
    const phone = await openIn(options, [Box, Card], { fetch })
    const cards = phone.getRepository(Card)
    one.answers.push({ changes: { '/boxes': [one.row('f', {}), one.row('g', {})] } })
    const errors = ['f', 'g'].map(box => ({ collection: '/boxes', id: box, code: 'not-allowed', detail: 'no' }))
    two.replies.push({ status: 422, body: { errors } })
    await syncAll(phone)
    await cards.save({ id: 'a', text: 'made here', box: 'f' })
    one.answers.push({ changes: { '/boxes': [one.left('f')] } })
    await syncAll(phone)
    expect([await cards.find(), pushed(two).flat()]).toEqual([[], []])
    // another window syncs with the other server meanwhile
    const window = await openIn(options, [Box, Card], {
      fetch: async (input, init) => {
        if (new URL(String(input)).hostname === 'one.made') throw new TypeError('fetch failed')
        return two.fetch(input, init)
      },
    })
    let posts = 0
    one.before = async method => {
      if (method !== 'POST') return
      posts++
      if (posts === 1) await cards.save({ id: 'a', text: 'made anew', box: 'g' })
      if (posts !== 2) return
      if (isContested)
        two.answers.push({ changes: { '/boxes': [two.row('g', {})], '/cards': [two.row('a', { text: 'theirs', box: 'g' })] } })
      await expect(syncAll(window)).rejects.toThrow(NetworkError)
    }
    for (const card of ['b', 'c']) await cards.save({ id: card, text: 'made here', box: 'g' })
    one.replies.push({ status: 422, body: { errors: [{ collection: '/cards', id: 'c', code: 'not-valid', detail: 'no' }] } })
    await syncAll(phone)
    expect(posts).toBe(2)
    for (let i = 0; i < 2; i++) await syncAll(phone)
    expect(one.posts.flatMap(({ changes }) => changes['/cards'] ?? []).filter(card => card.id === 'a')).toEqual([
      { id: 'a', text: 'made anew', box: 'g' },
    ])
    expect((await journal(cards).conflicts()).length).toBe(isContested ? 1 : 0)
  },
)

test('a row that one server makes under the id of one whose change was discarded is no edit of what the other one has', async () => {
  const { one, two, phone, cards } = await boxes()
  two.answers.push({ scoped: ['/boxes', '/cards'], changes: { '/boxes': [two.row('f', {})] } })
  one.answers.push({ scoped: ['/boxes', '/cards'] })
  const reject = (collection: string, id: string) => ({ collection, id, code: 'not-allowed', detail: 'no' })
  one.replies.push({ status: 422, body: { errors: [reject('/boxes', 'f')] } })
  await syncAll(phone)
  await cards.save({ id: 'a', text: 'made here', box: 'f' })
  one.replies.push({ status: 422, body: { errors: [reject('/cards', 'a')] } })
  await syncAll(phone)
  two.answers.push({ changes: { '/boxes': [two.left('f')] } })
  await syncAll(phone)
  expect(await cards.find()).toEqual([])
  await journal(cards).discard('a')
  one.answers.push({ changes: { '/cards': [one.row('a', { text: 'of one', box: null })] } })
  for (const server of [one, two]) server.posts.length = 0
  await syncAll(phone)
  two.answers.push({ changes: { '/boxes': [two.row('f', {})] } })
  await syncAll(phone)
  expect(pushed(two).flat()).toEqual([])
  expect(await journal(cards).conflicts()).toMatchObject([{ local: { text: 'of one' }, remote: { text: 'made here' } }])
})

test('the latest version counts for all servers that it is kept apart for', async () => {
  const { one, two, phone, cards } = await boxes()
  one.answers.push({ changes: { '/boxes': [one.row('f', {})], '/cards': [one.row('a', { text: 'base', box: 'f' })] } })
  const errors = [
    { collection: '/boxes', id: 'f', code: 'not-allowed', detail: 'no' },
    { collection: '/cards', id: 'a', code: 'not-allowed', detail: 'no' },
  ]
  two.replies.push({ status: 422, body: { errors } })
  await syncAll(phone)
  await cards.update('a', { text: 'ours' })
  one.answers.push({ changes: { '/boxes': [one.left('f')] } })
  await syncAll(phone)
  expect(await cards.find()).toEqual([])
  // a form that was open is saved
  await cards.save({ id: 'a', text: 'ours again', box: null })
  one.answers.push({ changes: { '/cards': [one.left('a')] } })
  await syncAll(phone)
  two.answers.push({ changes: { '/cards': [two.row('a', { text: 'theirs', box: null })] } })
  await syncAll(phone)
  expect(await journal(cards).conflicts()).toMatchObject([{ local: { text: 'ours again' }, remote: { text: 'theirs' } }])
})

/** A card of a box that both servers show, and that leaves both. */
async function parked(edit: boolean) {
  const all = await boxes()
  const { one, two, phone, cards } = all
  for (const server of [one, two])
    server.answers.push({
      changes: { '/boxes': ['f', 'g'].map(box => server.row(box, {})), '/cards': [server.row('a', { text: 'base', box: 'f' })] },
    })
  await syncAll(phone)
  if (edit) await cards.update('a', { text: 'ours' })
  for (const server of [one, two]) server.answers.push({ changes: { '/boxes': [server.left('f')] } })
  await syncAll(phone)
  expect([await cards.find(), (await journal(cards).deferred()).length]).toEqual([[], 2])
  for (const server of [one, two]) server.posts.length = 0
  return { ...all, question: async () => [await journal(cards).conflicts(), await journal(cards).deferred()] }
}

test.each(['one', 'two'] as const)(
  'an edit that waits for a row of both servers asks nothing where %s shows that row again',
  async name => {
    const { phone, cards, question, ...servers } = await parked(true)
    const server = servers[name]
    server.answers.push({ changes: { '/boxes': [server.row('f', {})] } })
    const asked: string[] = []
    for (let i = 0; i < 2; i++) await syncAll(phone, conflicts => void asked.push(...conflicts.map(conflict => conflict.id)))
    expect(asked).toEqual([])
    expect(await cards.find()).toMatchObject([{ text: 'ours', box: 'f' }])
    expect(await question()).toEqual([[], []])
    expect(pushed(servers.two).flat()).toContain('ours')
  },
)

test('a row that waits for both servers, and that one of them moves to where it is seen, is moved at the other one as well', async () => {
  const { one, two, phone, cards, question } = await parked(false)
  await cards.save({ id: 'b', text: 'made here', box: 'g' })
  await syncAll(phone)
  for (const server of [one, two]) server.posts.length = 0
  one.answers.push({ changes: { '/cards': [one.row('a', { text: 'base', box: 'g' })] } })
  await syncAll(phone)
  expect(await cards.findBy({ id: 'a' })).toMatchObject([{ text: 'base', box: 'g' }])
  expect(await question()).toEqual([[], []])
  expect(two.posts.flatMap(({ changes }) => changes['/cards'] ?? [])).toEqual([{ id: 'a', _partial: true, box: 'g' }])
  expect(await hasLocalChanges(phone)).toBe(false)
})

test('what a server had of a row that waits goes when the row leaves it', async () => {
  const { one, two, phone, cards } = await parked(false)
  for (const server of [one, two]) server.answers.push({ changes: { '/cards': [server.left('a')] } })
  await syncAll(phone)
  expect(await sql(phone, 'SELECT * FROM sync_base_twice_card')).toEqual([])
  expect(await journal(cards).deferred()).toEqual([])
})

test('a conflict about a row that the other server shows is asked about once, and again when what the row needs there is seen', async () => {
  const { one, two, phone, cards } = await boxes()
  const card = (server: HandMade, text: string, box: string) => server.row('a', { text, box })
  for (const server of [one, two])
    server.answers.push({
      scoped: ['/boxes', '/cards'],
      changes: { '/boxes': [server.row('f', {})], '/cards': [card(server, 'base', 'f')] },
    })
  await syncAll(phone)
  await cards.update('a', { text: 'ours' })
  const asked: unknown[] = []
  const handler = resolveEach<{ text: string }>(({ remote }) => {
    asked.push(remote?.text)
    return { text: 'both' }
  })
  const sync = () => syncAll(phone, handler)
  one.answers.push({ changes: { '/cards': [card(one, 'theirs', 'hidden')] } })
  for (let i = 0; i < 3; i++) await sync()
  expect(asked).toEqual(['theirs'])
  expect(await cards.find()).toMatchObject([{ text: 'ours', box: 'f' }])
  expect(await journal(cards).deferred()).toMatchObject([{ local: { text: 'ours' }, remote: { text: 'theirs' } }])
  one.answers.push({ changes: { '/boxes': [one.row('hidden', {})] } })
  await sync()
  expect(asked).toEqual(['theirs', 'theirs'])
  expect(await cards.find()).toMatchObject([{ text: 'both', box: 'hidden' }])
  expect([await journal(cards).conflicts(), await journal(cards).deferred(), await hasLocalChanges(phone)]).toEqual([[], [], false])
})

test('nobody is asked twice about a row that hangs on one which left, and was removed here for another server', async () => {
  const { one, two, phone, cards } = await boxes()
  const [box, card] = [one.row('f', {}), (text: string, of: string | null) => one.row('a', { text, box: of })]
  const scoped = ['/boxes', '/cards']
  one.answers.push({ changes: { '/boxes': [box], '/cards': [card('base', null)] }, scoped })
  two.answers.push({ changes: { '/boxes': [two.row('f', {})] }, scoped })
  await syncAll(phone)
  one.answers.push({ changes: { '/boxes': [one.left('f')] } })
  await syncAll(phone)
  await phone.getRepository(Box).delete('f')
  await cards.update('a', { text: 'ours' })
  one.answers.push({ changes: { '/cards': [card('theirs', 'f')] } })
  const asked: string[] = []
  const preferRemote: ConflictHandler = (conflicts, updates, callback) => {
    asked.push(...conflicts.map(c => c.id))
    return preferRemoteConflictHandler(conflicts, updates, callback)
  }
  for (let i = 0; i < 3; i++) await syncAll(phone, preferRemote)
  expect([asked, await journal(cards).conflicts()]).toEqual([['a'], []])
})
