import { afterEach, beforeEach, expect, jest, test } from '@jest/globals'
import { Schedule } from '../../src/entity/keep/schedule.js'

beforeEach(() => void jest.useFakeTimers())
afterEach(() => void jest.useRealTimers())

/** The milliseconds after which it runs, of so many. */
function runsOf(schedule: (run: () => void) => Schedule, use: (schedule: Schedule) => void, milliseconds = 400_000): number[] {
  const runs: number[] = []
  const start = Date.now()
  const made = schedule(() => {
    runs.push(Date.now() - start)
    made.clear()
  })
  use(made)
  jest.advanceTimersByTime(milliseconds)
  return runs
}

const withRandom = (random: number) => (run: () => void) => new Schedule(run, () => random)

test('the earliest time counts', () => {
  const plan = (schedule: Schedule) => [500, 100, 900].forEach(time => void schedule.plan(time))
  expect(runsOf(withRandom(0), plan)).toEqual([100])
  expect(runsOf(withRandom(0), s => s.planAround(1_000))).toEqual([750])
  expect(runsOf(withRandom(1), s => s.planAround(1_000))).toEqual([1_250])
})

test('failures put it off, twice as long each time, five minutes at most, and anything between nothing and that', () => {
  const fail = (times: number) => (schedule: Schedule) => {
    for (let i = 0; i < times; i++) schedule.failed({})
    schedule.plan(0)
  }
  expect([1, 2, 3, 20].map(times => runsOf(withRandom(1), fail(times))[0])).toEqual([1_000, 2_000, 4_000, 300_000])
  expect(runsOf(withRandom(0.25), fail(3))).toEqual([1_000])
  expect(runsOf(withRandom(0.5), s => s.failed({}, true))).toEqual([300_000])
  const succeed = (schedule: Schedule) => {
    fail(5)(schedule)
    schedule.succeeded()
    schedule.plan(10)
  }
  expect(runsOf(withRandom(1), succeed)).toEqual([0])
})

test('what the server asks for counts on where there is hope, but not where somebody asks', () => {
  const fail = (schedule: Schedule) => schedule.failed({ retryAfter: 5_000 })
  expect(runsOf(withRandom(1), fail)).toEqual([6_000])
  const hope = (isAsked: boolean) => (schedule: Schedule) => {
    fail(schedule)
    schedule.hope(isAsked)
  }
  expect(runsOf(withRandom(1), hope(false))).toEqual([5_000])
  expect(runsOf(withRandom(1), hope(true))).toEqual([0])
})
