import 'reflect-metadata'
import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { type DataSource, EntitySchema } from 'typeorm'
import { enableSync, syncAll } from 'typeorm-sync'
import { applyDecided, device, expectAtRest } from './devices.js'
import { OldServer } from './oldServer.js'

interface Plan {
  id: string
  name: string
  at: Date | null
}

const date = process.env.SYNC_DEVICE === 'postgres' ? ({ type: 'timestamptz' } as const) : ({ type: 'datetime', precision: 3 } as const)

const schema = new EntitySchema<Plan>({
  ...{ name: 'Plan', tableName: 'plan' },
  columns: { id: { type: 'varchar', primary: true }, name: { type: 'varchar' }, at: { ...date, nullable: true } },
})
enableSync(schema, '/planChanges')

type Fault = 'none' | 'lost' | 'answer lost' | 'late'

/** What a device does: edits, removes or makes one of its rows, or syncs, and what becomes of the POST. */
type Event =
  | { who: number; write: 'put' | 'remove'; row: number; name: string; date: number }
  | { who: number; fault: Fault }
  | { wait: number }

const who = fc.nat({ max: 1 })
const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      who,
      write: fc.constantFrom('put', 'put', 'remove'),
      row: fc.nat({ max: 2 }),
      name: fc.constantFrom('a', 'b', 'c'),
      date: fc.nat({ max: 2 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ who, fault: fc.constantFrom<Fault[]>('none', 'lost', 'answer lost', 'answer lost', 'late') }) },
  { weight: 2, arbitrary: fc.record({ wait: fc.constantFrom(1_000, 120_000) }) },
)

/** Loses requests and answers. One that is late arrives before the next POST of the device, if nothing happens to that one, or never. */
class Line {
  fault: Fault = 'none'
  #late: string | undefined

  constructor(private readonly server: OldServer) {}

  readonly fetch: typeof globalThis.fetch = async (input, init) => {
    if (init?.method !== 'POST') return this.server.fetch(input, init)
    const late = this.#late
    this.#late = undefined
    if (late !== undefined && this.fault === 'none') await this.server.answer('POST', new URLSearchParams(), late)
    const lost = new TypeError('fetch failed')
    if (this.fault === 'lost') throw lost
    if (this.fault === 'late') {
      this.#late = String(init.body)
      throw lost
    }
    const answer = await this.server.fetch(input, init)
    if (this.fault === 'answer lost') throw lost
    return answer
  }
}

async function happen(events: readonly Event[], roundsDates: boolean): Promise<void> {
  const server = new OldServer()
  server.roundsDates = roundsDates
  const lines = [new Line(server), new Line(server)]
  const devices: DataSource[] = []
  for (const line of lines) devices.push(await device([schema], 'http://old.test', { fetch: line.fetch }))
  // each row has one writer, so nothing is contested, and what was written last wins
  const wanted = new Map<string, Pick<Plan, 'name' | 'at'>>()
  try {
    for (const e of events) {
      if ('wait' in e) server.wait(e.wait)
      else if ('write' in e) {
        const id = `${'ab'[e.who]}${e.row}`
        const plans = (devices[e.who] as DataSource).getRepository(schema)
        if (e.write === 'remove') {
          await plans.delete(id)
          wanted.delete(id)
        } else {
          const row = { name: e.name, at: e.date ? new Date(1_700_000_000_000 + e.date * 400) : null }
          await plans.save({ id, ...row })
          wanted.set(id, row)
        }
      } else {
        const line = lines[e.who] as Line
        line.fault = e.fault
        const report = await syncAll(devices[e.who] as DataSource).catch(error => {
          if (error.code !== 'network') throw error
        })
        if (report) expect(report).toMatchObject({ conflicts: 0, unapplied: 0 })
      }
    }
    for (const line of lines) line.fault = 'none'
    await applyDecided(devices)
    const second = (at: Date | null) => at && Math.round(at.getTime() / (roundsDates ? 1000 : 1))
    const plain = (rows: Iterable<Plan>) => [...rows].map(r => [r.id, r.name, second(r.at)]).sort()
    for (const each of devices)
      expect(plain(await each.getRepository(schema).find())).toEqual(plain([...wanted].map(([id, row]) => ({ id, ...row }))))
    expect(
      [...server.rows.values()]
        .filter(r => !r._removed)
        .map(r => r.id)
        .sort(),
    ).toEqual([...wanted.keys()].sort())
    server.wait(120_000)
    await applyDecided(devices)
    await expectAtRest(devices)
  } finally {
    for (const each of devices) await each.destroy()
  }
}

test.each([{ roundsDates: false }, { roundsDates: true }])(
  'whatever is lost on the way to a server of 2011, what was written last stands, and nothing is contested (rounds dates: $roundsDates)',
  async ({ roundsDates }) => {
    await fc.assert(
      fc.asyncProperty(fc.array(event, { minLength: 4, maxLength: 24 }), events => happen(events, roundsDates)),
      {
        numRuns: Number(process.env.RUNS ?? (process.env.SYNC_DEVICE ? 2 : 25)),
        ...(process.env.SEED && { seed: Number(process.env.SEED) }),
      },
    )
  },
)
