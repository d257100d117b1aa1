import { expect, test } from '@jest/globals'
import { preferred } from '../../server/accepts.js'

const [json, events] = ['application/json', 'text/event-stream']

test.each([
  ['', json],
  ['*/*', json],
  ['application/*', json],
  ['text/*', events],
  [events, events],
  ['Text/Event-Stream', events],
  [`${events}, ${json}`, events],
  [`${json}, ${events}`, json],
  [`${json};q=0.5, ${events};q=0.8`, events],
  [`${json}, ${events};q=0.5`, json],
  [`*/*, ${events}`, events],
  [`${events};q=0, */*`, json],
  [`${json};q=0, */*;q=0.1`, events],
  [`${json};q=0.1;level=1, text/html`, json],
  [`${json};`, json],
  // of such a kind it is not
  [`${json};level=1`, undefined],
  [`${json};q=0`, undefined],
  [`${json};q=much`, undefined],
  ['text/html, image/*', undefined],
  ['nonsense, ;, /', undefined],
])('«%s» would rather have %s', (header, type) => {
  expect(preferred(header, [json, events])).toBe(type)
})
