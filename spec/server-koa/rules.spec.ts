// What a rule may answer, and what it must not: what says nothing must not open every row.

import { expect, jest, test } from '@jest/globals'
import { DataSource, EntitySchema } from 'typeorm'
import { enableSync, withSync } from 'typeorm-sync'
import { keys, type Principal, type Rule, type RuleAnswer, rule, syncRoutes } from 'typeorm-sync/server-koa'
import { openOn, serve } from '../support/eachDatabase.js'

interface Page {
  id: string
  owner: string | null
}
const Page = new EntitySchema<Page>({
  ...{ name: 'RulePage', tableName: 'rule_page' },
  columns: { id: { type: 'varchar', primary: true }, owner: { type: 'varchar', nullable: true } },
})
enableSync(Page, '/rulePages', { scopes: ['owner'] })

async function answerOf(read: () => any, write?: () => any) {
  const database = await openOn('libsql', [Page])
  await database.getRepository(Page).save([
    { id: 'a', owner: 'alice' },
    { id: 'n', owner: null },
  ])
  const rules = [rule(Page, { read, ...(write && { write }) })]
  const { url, errors, post } = await serve(database, { principal: () => ({ id: 'alice' }), rules })
  const response = await fetch(`${url}/rulePages`)
  const { updates, ...problem } = (await response.json()) as any
  return { status: response.status, ids: updates?.map((u: Page) => u.id), problem, errors, post }
}

test.each([
  ['true', true, ['a', 'n']],
  ['false', false, []],
  ['no filter', [], []],
  ['an empty list', { owner: [] }, []],
  ['a value', { owner: 'alice' }, ['a']],
  ['one that reads', { id: keys(Page, 'id', { owner: null }) }, ['n']],
  ['null, by which nobody reads', { owner: null }, []],
  ['one of two', [{ owner: 'alice' }, { id: ['n'] }], ['a', 'n']],
  ['both of two', { owner: 'alice', id: ['n'] }, []],
])('a rule may give %s', async (_, given, wanted) => {
  expect(await answerOf(() => given)).toMatchObject({ status: 200, ids: wanted, errors: [] })
})

const BAD: [string, unknown, RegExp][] = [
  ['an empty filter', {}, /has to give filters/],
  ['an empty filter among others', [{ owner: 'alice' }, {}], /has to give filters/],
  ['true among filters', [{ owner: 'alice' }, true], /has to give filters/],
  ['a promise', Promise.resolve({ owner: 'alice' }), /is no async function/],
  ['nothing', undefined, /has to give filters/],
  ['null', null, /has to give filters/],
  ['a number', 1, /has to give filters/],
  ['keys of no property', keys(Page, 'id', { owner: 'alice' }), /has to give filters/],
  ['a value that is missing', { owner: undefined }, /gives no value for owner/],
  ['a value that is missing in what is read', { id: keys(Page, 'id', { owner: undefined as never }) }, /gives no value for owner/],
]

test.each(BAD)('a rule that gives %s opens nothing, and the application is told', async (_, given, message) => {
  const { status, problem, ids, errors } = await answerOf(() => given)
  expect({ status, ids }).toEqual({ status: 500, ids: undefined })
  expect(JSON.stringify(problem)).not.toMatch(/owner|RulePage/)
  expect(errors).toMatchObject([{ code: 'configuration', message: expect.stringMatching(message) }])
})

test.each(BAD)('a rule for changing rows that gives %s stores nothing', async (_, given, message) => {
  const { post, errors } = await answerOf(
    () => true,
    () => given,
  )
  expect((await post('/rulePages', [{ id: 'new', owner: 'bob' }])).status).toBe(500)
  // the pull before it needs the rule as well, for the name of the set
  expect(errors).toMatchObject([{ message: expect.stringMatching(message) }, { message: expect.stringMatching(message) }])
})

const Card = new EntitySchema<Page & { number: string; mark: string }>({
  ...{ name: 'RuleCard', tableName: 'rule_card' },
  columns: {
    id: { type: 'varchar', primary: true },
    owner: { type: 'varchar' },
    number: { type: 'varchar', unique: true },
    mark: { type: 'varchar' },
  },
  uniques: [{ columns: ['owner', 'mark'] }],
})
enableSync(Card, '/ruleCards', { scopes: ['owner'] })

test('a unique value of which the scope is no part is warned of, once', async () => {
  const warn = jest.spyOn(process, 'emitWarning').mockImplementation(() => {})
  const database = await openOn('libsql', [Card])
  const { url } = await serve(database, { principal: () => ({ id: 'alice' }), rules: [rule(Card, { read: p => ({ owner: p.id }) })] })
  for (let i = 0; i < 2; i++) expect((await fetch(`${url}/ruleCards`)).status).toBe(200)
  expect(warn.mock.calls).toEqual([[expect.stringMatching(/^number of RuleCard .* \(owner, number\)/), expect.anything()]])
  warn.mockRestore()
})

const Chapter = new EntitySchema<any>({
  ...{ name: 'RuleChapter', tableName: 'rule_chapter' },
  columns: { id: { type: 'varchar', primary: true } },
  relations: { page: { type: 'many-to-one', target: 'RulePage', nullable: false } },
})
enableSync(Chapter, '/ruleChapters')
const Country = new EntitySchema<any>({ name: 'RuleCountry', columns: { id: { type: 'varchar', primary: true } } })
const Other = new EntitySchema<any>({ name: 'RuleOther', columns: { id: { type: 'varchar', primary: true } } })

const all = { read: () => true }

test.each<[string, Rule[], RegExp]>([
  ['two for one entity', [rule(Page, all), rule(Page, all)], /There are two rules for RulePage/],
  ['one for a child alone', [rule(Chapter, all)], /RuleChapter needs rows of RulePage \(page\), for which there is no rule/],
  ['one for an entity that is not synced', [rule(Page, all), rule(Other, all)], /RuleOther, which is not synced/],
  ['one for an entity of another data source', [rule(Country, all)], /RuleCountry, which is not one of the data source’s entities/],
])('rules that do not go with the entities are rejected at once: %s', async (_, rules, message) => {
  const database = await openOn('libsql', [Page, Chapter, Other])
  expect(() => syncRoutes(database, { principal: () => ({ id: 'alice' }), rules })).toThrow(message)
})

test('a data source that is not initialised yet is told of them with the first request', async () => {
  const database = withSync(new DataSource({ type: 'sqljs', entities: [Page, Chapter], synchronize: true }))
  const options = { principal: () => ({ id: 'alice' }), rules: [rule(Chapter, all)] }
  const { url, errors } = await serve(database, options)
  expect((await fetch(`${url}/sync`)).status).toBe(503)
  await database.initialize()
  expect((await fetch(`${url}/sync`)).status).toBe(500)
  expect(errors).toMatchObject([{ code: 'configuration', message: expect.stringContaining('for which there is no rule') }])
  await database.destroy()
})

const owner = { type: 'varchar', nullable: true } as const
const Shelf = new EntitySchema<any>({ name: 'RuleShelf', columns: { id: { type: 'varchar', primary: true }, owner, tenant: owner } })
enableSync(Shelf, '/ruleShelves', { scopes: ['owner', 'tenant'] })
const Book = new EntitySchema<any>({
  ...{ name: 'RuleBook', columns: { id: { type: 'varchar', primary: true }, owner, tenant: owner } },
  relations: { shelf: { type: 'many-to-one', target: 'RuleShelf', nullable: true } },
})
enableSync(Book, '/ruleBooks', { scopes: ['owner', 'tenant', 'shelf', 'shelf.owner'] })
const Reader = new EntitySchema<any>({
  ...{ name: 'RuleReader', columns: { id: { type: 'varchar', primary: true }, user: owner, shelf: owner, role: owner } },
})

type P = Principal & { readonly tenant?: string; readonly isAdmin?: boolean; readonly groups?: string[] }
type Read = (p: P) => RuleAnswer<any>
const shelves = (p: P, role?: string[]) => keys(Reader, 'shelf', { user: p.id, ...(role && { role }) })

async function warnings(readShelf: Read, readBook: Read, more: object = {}): Promise<unknown[]> {
  const warn = jest.spyOn(process, 'emitWarning').mockImplementation(() => {})
  try {
    const database = await openOn('libsql', [Shelf, Book, Reader])
    const rules = [rule<any, P>(Shelf, { read: readShelf }), rule<any, P>(Book, { read: readBook, ...more })]
    syncRoutes(database, { principal: () => ({ id: 'alice' }), rules })
    return warn.mock.calls.map(([, options]) => (options as unknown as { code: string }).code)
  } finally {
    warn.mockRestore()
  }
}

test.each<[string, Read, Read]>([
  ['everybody sees the other one', () => true, p => ({ owner: p.id })],
  ['nobody sees the row', p => ({ owner: p.id }), () => false],
  ['by the reference', p => ({ id: shelves(p) }), p => ({ shelf: shelves(p) })],
  ['by fewer memberships', p => ({ id: shelves(p) }), p => ({ shelf: shelves(p, ['owner']), owner: p.id })],
  ['by a path', p => ({ owner: p.id }), p => ({ 'shelf.owner': p.id })],
  ['by a scope of the same name', p => ({ tenant: p.tenant }), p => ({ tenant: p.tenant, owner: p.id })],
  ['by fewer values', p => ({ owner: [p.id, 'all'] }), p => [{ owner: p.id }, { owner: 'all' }]],
  ['administrators see both', p => p.isAdmin === true || { owner: p.id }, p => p.isAdmin === true || { owner: p.id }],
  ['a rule that cannot answer for a principal of whom nothing is known', p => ({ owner: p.id }), p => ({ owner: p.groups!.map(g => g) })],
  ['a rule that is no rule', p => ({ owner: p.id }), (async () => Promise.reject(new Error('no'))) as never],
])('who sees a row sees the row that it needs: %s', async (_, readShelf, readBook) => {
  expect(await warnings(readShelf, readBook)).toEqual([])
})

test.each<[string, Read, Read]>([
  ['mine, in a shelf of others', p => ({ id: shelves(p) }), p => [{ owner: p.id }, { shelf: shelves(p) }]],
  ['all of them', p => ({ id: shelves(p) }), () => true],
  ['by more memberships', p => ({ id: shelves(p, ['owner']) }), p => ({ shelf: shelves(p, ['owner', 'reader']) })],
  ['by another scope', p => ({ tenant: p.tenant }), p => ({ owner: p.id })],
  ['by more values', p => ({ owner: p.id }), p => ({ owner: [p.id, 'all'] })],
  ['by half of what the other one asks', p => ({ owner: p.id, tenant: p.tenant }), p => ({ owner: p.id })],
  ['by the ids of either', p => ({ id: [p.id] }), p => ({ id: [p.id] })],
  ['administrators alone see the other one', p => Boolean(p.isAdmin), p => ({ owner: p.id })],
])('who sees a row may not see the row that it needs, and that is warned of: %s', async (_, readShelf, readBook) => {
  expect(await warnings(readShelf, readBook)).toEqual(['parent-may-be-unseen'])
  expect(await warnings(readShelf, readBook, { dangling: ['shelf'] })).toEqual([])
})

test('what is declared as dangling has to be a reference', async () => {
  const none = { read: () => true, dangling: ['owner'] }
  await expect(warnings(() => true, none.read, none)).rejects.toThrow(
    'The rule of RuleBook declares owner as dangling, which is no reference to a synced entity.',
  )
})
