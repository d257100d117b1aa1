import { describe, expect, test } from '@jest/globals'
import { readBody } from '../../../src/sync/http/body.js'

const bytesOf = (text: string) => new TextEncoder().encode(text)

/** A response whose body comes in pieces of so many bytes. */
function cutInto(bytes: Uint8Array, size: number): Response {
  let at = 0
  return new Response(
    new ReadableStream<Uint8Array>({
      pull(controller) {
        if (at >= bytes.length) return controller.close()
        controller.enqueue(bytes.slice(at, at + size))
        at += size
      },
    }),
  )
}

const NASTY = ['},{', '"updates":[', '\\"},{\\"', ']}', 'é', '日本', '😀', '\u2028', '{"id":"x"},{"id":"y"}', '\\', '', '[[', '\ufeff']
const nasty = (i: number) => Array.from({ length: 1 + (i % 7) }, (_, k) => NASTY[(i * 5 + k * 3) % NASTY.length]).join('')

function rowOf(i: number) {
  return {
    id: `row ${i} ${nasty(i)}`,
    title: nasty(i + 1),
    nested: { list: [{ a: nasty(i) }, { b: i }, [nasty(i + 2)]] },
    long: nasty(i).repeat(i % 40),
  }
}

const rows = (n: number) => Array.from({ length: n }, (_, i) => rowOf(i))

describe('a body', () => {
  const bodies: Record<string, string> = {
    'of nothing': '',
    'of a 2012 server': JSON.stringify({ now: 5, updates: rows(900) }, null, 2),
    'with few rows': JSON.stringify({ now: 5, collection: 'c', updates: rows(3), next: 'x' }),
    'with many rows': JSON.stringify({ now: 5, collection: 'c "updates":[ {', updates: rows(2500), full: true, next: '},{' }),
    'with the rows first': JSON.stringify({ updates: rows(2500), now: 7 }),
    'with updates deeper down': JSON.stringify({ deep: { updates: rows(900) }, updates: rows(900), now: 7 }),
    'with rows that are large': JSON.stringify({ now: 1, updates: [{ id: 'a', text: '},{'.repeat(200_000) }, { id: 'b' }, { id: 'c' }] }),
    'of a feed': JSON.stringify({ collection: 'c', changes: { '/a': rows(900), '/b "}],"x":[{': rows(1400), '/c': rows(2) }, now: 5 }),
    'of a feed of many small lists': JSON.stringify({ changes: Object.fromEntries(rows(700).map((row, i) => [`/${i}`, [row]])), now: 5 }),
    'of a feed with few rows': JSON.stringify({ now: 5, changes: { '/a': rows(3) } }),
    'of a feed with nothing new': JSON.stringify({ collection: 'c', changes: {}, now: 5, rest: rows(900) }),
    'of a feed with a list twice': `{"changes":{"/a":${JSON.stringify(rows(900))},"/b":[],"/a":5},"now":1}`,
    'of a feed with a list that is empty': JSON.stringify({ changes: { '/a': rows(900), '/b': [], '/c': rows(900) }, now: 5 }),
    'of a feed with changes deeper down': JSON.stringify({ deep: { changes: { '/a': rows(900) } }, changes: { '/a': rows(900) }, now: 7 }),
    'of a feed that is cut': JSON.stringify({ now: 5, changes: { '/a': rows(900), '/b': rows(900) } }).slice(0, -300),
    'with no updates': JSON.stringify({ rows: rows(900) }),
    'with updates twice': `{"updates":${JSON.stringify(rows(900))},"now":1,"updates":5}`,
    'with a byte order mark': `\ufeff${JSON.stringify({ now: 5, updates: rows(900) })}`,
    'that is a list': JSON.stringify(rows(900)),
    'that is cut': JSON.stringify({ now: 5, updates: rows(900) }).slice(0, -300),
    'that goes on after its end': `${JSON.stringify({ now: 5, updates: rows(900) })}{"id":"more"},{"id":"x"}]}`,
    'that is a web page': `<html>${'},{"updates":['.repeat(20_000)}`,
  }

  for (const [name, text] of Object.entries(bodies)) {
    test(`${name} is read as JSON.parse reads it, however it comes`, async () => {
      const bytes = bytesOf(text)
      let expected: unknown
      try {
        expected = JSON.parse(text.replace(/^\ufeff/, ''))
      } catch {
        expected = undefined
      }
      for (const size of [bytes.length + 1, 65_536, 65_535, 10_007, 64 * 1024 - 2]) {
        const body = await readBody(cutInto(bytes, size))
        expect(body.json).toEqual(expected)
        expect(body).toMatchObject({ isUtf8: true, bytes: bytes.length })
        expect(body.excerpt.replace(/^\ufeff/, '').slice(0, 99)).toBe(text.replace(/^\ufeff/, '').slice(0, 99))
      }
    })
  }

  test('is the same byte by byte', async () => {
    const text = JSON.stringify({ now: 5, updates: rows(20), next: 'n' })
    expect((await readBody(cutInto(bytesOf(text), 1))).json).toEqual(JSON.parse(text))
  })

  test('in another encoding is none, wherever it shows', async () => {
    const bytes = bytesOf(JSON.stringify({ now: 5, updates: rows(1_000) }))
    for (const place of [20, 70_000, bytes.length - 20]) {
      const latin1 = bytes.slice()
      latin1[place] = 0xe9
      latin1[place + 1] = 0x41
      const body = await readBody(cutInto(latin1, 50_000))
      expect([body.json, body.isUtf8]).toEqual([undefined, false])
      expect(body.excerpt).toMatch(/^{"now":5,"updates/)
    }
  })

  test('is read at once where fetch has no streams', async () => {
    const text = JSON.stringify({ now: 5, updates: rows(900) })
    const response = { body: undefined, arrayBuffer: async () => bytesOf(text).buffer } as unknown as Response
    expect((await readBody(response)).json).toEqual(JSON.parse(text))
  })
})
