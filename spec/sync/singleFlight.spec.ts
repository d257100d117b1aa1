// Calls at the same time share a pass; each resolves after a pass that began after it.

import { getEventListeners } from 'node:events'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { SingleFlight } from '../../src/sync/singleFlight.js'

/** A flight whose passes end when the test says so. */
class Runway {
  readonly passes: { readonly options: string; readonly signal: AbortSignal; end(): void; fail(error: unknown): void }[] = []
  readonly flight = new SingleFlight<number, string>(
    (signal, options) =>
      new Promise((resolve, reject) => {
        const number = this.passes.length
        this.passes.push({ options, signal, end: () => resolve(number), fail: reject })
      }),
    (earlier, later) => `${earlier}+${later}`,
  )
}

const turn = () => new Promise<void>(resolve => setTimeout(resolve, 0))

/** What became of a promise. */
function outcomeOf(promise: Promise<unknown>): { now: unknown } {
  const outcome: { now: unknown } = { now: 'under way' }
  promise.then(
    value => (outcome.now = value),
    error => (outcome.now = error),
  )
  return outcome
}

test('a call alone starts a pass with its options', async () => {
  const { flight, passes } = new Runway()
  const call = outcomeOf(flight.call('a'))
  await turn()
  expect(passes.map(p => p.options)).toEqual(['a'])
  expect(call.now).toBe('under way')
  passes[0]?.end()
  await turn()
  expect(call.now).toBe(0)
})

test('calls that come during a pass share the next one, with their options combined', async () => {
  const { flight, passes } = new Runway()
  const first = outcomeOf(flight.call('a'))
  await turn()
  const later = ['b', 'c', 'd'].map(options => outcomeOf(flight.call(options)))
  await turn()
  expect(passes.length).toBe(1)
  passes[0]?.end()
  await turn()
  expect(first.now).toBe(0)
  expect(later.map(call => call.now)).toEqual(Array(3).fill('under way'))
  expect(passes.map(p => p.options)).toEqual(['a', 'b+c+d'])
  passes[1]?.end()
  await turn()
  expect(later.map(call => call.now)).toEqual([1, 1, 1])
})

test('without `combine` the options of the last call count', async () => {
  const seen: string[] = []
  const flight = new SingleFlight<void, string>(async (_, options) => void seen.push(options))
  await Promise.all(['a', 'b', 'c'].map(options => flight.call(options)))
  expect(seen).toEqual(['a', 'c'])
})

test('a pass that fails rejects its own callers, and the next one begins', async () => {
  const { flight, passes } = new Runway()
  const error = new Error('no connection')
  const first = outcomeOf(flight.call('a'))
  await turn()
  const second = outcomeOf(flight.call('b'))
  passes[0]?.fail(error)
  await turn()
  expect(first.now).toBe(error)
  passes[1]?.end()
  await turn()
  expect(second.now).toBe(1)
})

test('a call after the end of a pass starts a new one', async () => {
  const { flight, passes } = new Runway()
  for (const number of [0, 1, 2]) {
    const call = outcomeOf(flight.call('a'))
    await turn()
    passes[number]?.end()
    await turn()
    expect(call.now).toBe(number)
  }
  expect(passes.map(p => p.options)).toEqual(['a', 'a', 'a'])
})

test('a call at the very end of a pass does not run beside the next one', async () => {
  const { flight, passes } = new Runway()
  let last: { now: unknown } | undefined
  flight.call('a').then(() => (last = outcomeOf(flight.call('c'))))
  const second = outcomeOf(flight.call('b'))
  await turn()
  passes[0]?.end()
  await turn()
  expect(passes.map(p => p.options)).toEqual(['a', 'b+c'])
  passes[1]?.end()
  await turn()
  expect([second.now, last?.now]).toEqual([1, 1])
})

describe('a signal', () => {
  test('that was aborted before rejects the call, and nothing starts', async () => {
    const { flight, passes } = new Runway()
    await expect(flight.call('a', AbortSignal.abort('too late'))).rejects.toBe('too late')
    await turn()
    expect(passes).toEqual([])
  })

  test('ends one call; the pass goes on for the others', async () => {
    const { flight, passes } = new Runway()
    const [mine, other] = [new AbortController(), new AbortController()]
    await turn()
    const first = outcomeOf(flight.call('a'))
    await turn()
    const [left, stays] = [outcomeOf(flight.call('b', mine.signal)), outcomeOf(flight.call('c', other.signal))]
    passes[0]?.end()
    await turn()
    mine.abort('enough')
    await turn()
    expect([first.now, left.now, stays.now]).toEqual([0, 'enough', 'under way'])
    expect(passes[1]?.signal.aborted).toBe(false)
    passes[1]?.end()
    await turn()
    expect(stays.now).toBe(1)
  })

  test('of the last caller ends the pass, with its reason', async () => {
    const { flight, passes } = new Runway()
    const controller = new AbortController()
    const call = outcomeOf(flight.call('a', controller.signal))
    await turn()
    controller.abort('enough')
    await turn()
    expect(call.now).toBe('enough')
    expect([passes[0]?.signal.aborted, passes[0]?.signal.reason]).toEqual([true, 'enough'])
  })

  test('of the last caller ends the pass some time later, and that can be waited for', async () => {
    const { flight, passes } = new Runway()
    const controller = new AbortController()
    const call = outcomeOf(flight.call('a', controller.signal))
    await turn()
    const [others, before] = [outcomeOf(flight.whenLeft()), call.now]
    await turn()
    expect([others.now, before]).toEqual([undefined, 'under way']) // it has a caller
    controller.abort('enough')
    const left = outcomeOf(flight.whenLeft())
    await turn()
    expect([call.now, left.now]).toEqual(['enough', 'under way'])
    passes[0]?.fail('it has noticed')
    await turn()
    expect(left.now).toBeUndefined()
  })

  test('of all callers of the next pass: it never starts, and a later call has one of its own', async () => {
    const { flight, passes } = new Runway()
    const controller = new AbortController()
    const first = outcomeOf(flight.call('a'))
    await turn()
    const second = outcomeOf(flight.call('b', controller.signal))
    controller.abort('enough')
    passes[0]?.end()
    await turn()
    expect([first.now, second.now, passes.length]).toEqual([0, 'enough', 1])
    const third = outcomeOf(flight.call('c'))
    await turn()
    expect(passes.map(p => p.options)).toEqual(['a', 'c'])
    passes[1]?.end()
    await turn()
    expect(third.now).toBe(1)
  })

  test('of all callers of the next pass, before another one joins it: that one is not ended', async () => {
    const { flight, passes } = new Runway()
    const controller = new AbortController()
    flight.call('a')
    await turn()
    const left = outcomeOf(flight.call('b', controller.signal))
    controller.abort('enough')
    const stays = outcomeOf(flight.call('c'))
    passes[0]?.end()
    await turn()
    expect([left.now, passes[1]?.signal.aborted]).toEqual(['enough', false])
    passes[1]?.end()
    await turn()
    expect(stays.now).toBe(1)
  })

  test('that is aborted after the end of the call does nothing', async () => {
    const { flight, passes } = new Runway()
    const controller = new AbortController()
    const call = outcomeOf(flight.call('a', controller.signal))
    await turn()
    passes[0]?.end()
    await turn()
    expect(getEventListeners(controller.signal, 'abort')).toEqual([])
    controller.abort('too late')
    expect([call.now, passes[0]?.signal.aborted]).toEqual([0, false])
  })
})

test('whatever happens in whatever order: one pass at a time, and each call ends with one that began after it', async () => {
  type Event = 'call' | 'end' | 'fail' | 'abort' | 'turn'
  const events = fc.array(fc.constantFrom<Event>('call', 'call', 'end', 'fail', 'abort', 'turn'), { maxLength: 25 })
  await fc.assert(
    fc.asyncProperty(events, async history => {
      const { flight, passes } = new Runway()
      const calls: { before: number; controller: AbortController; outcome: { now: unknown } }[] = []
      let ended = 0
      const endOne = (how: 'end' | 'fail') => {
        const pass = passes[ended]
        if (!pass) return
        if (how === 'end') pass.end()
        else pass.fail(ended)
        ended++
      }
      for (const event of history) {
        if (event === 'turn') await turn()
        else if (event === 'abort') calls.at(-1)?.controller.abort('aborted')
        else if (event === 'call') {
          const controller = new AbortController()
          calls.push({ before: passes.length, controller, outcome: outcomeOf(flight.call('o', controller.signal)) })
        } else endOne(event)
        expect(passes.length - ended).toBeLessThanOrEqual(1)
      }
      for (let more = 0; more < 3; more++) {
        await turn()
        endOne('end')
      }
      await turn()
      for (const { before, outcome } of calls) {
        expect(outcome.now).not.toBe('under way')
        if (outcome.now !== 'aborted') expect(outcome.now).toBeGreaterThanOrEqual(before)
      }
      expect(passes.length).toBeLessThanOrEqual(calls.length)
    }),
    { numRuns: 300 },
  )
})
