// Runs a scenario once per point at which it can go wrong.

import type { Point } from './points.js'
import { type Scenario, worldOf } from './scenarios.js'
import type { Kind, LocalKind } from './storage.js'
import { Stopped, type World } from './world.js'

export interface Result {
  readonly points: number
  readonly done: number
  readonly held: number
  readonly failures: { readonly point: string; readonly problems: string[] }[]
}

export interface Choice {
  /** Every so many points; 1. */
  readonly stride?: number
  readonly offset?: number
  /** One alone, as a failure names it. */
  readonly only?: string | undefined
  /** About so many points in all, spread evenly. */
  readonly count?: number
}

export async function runScenario(
  scenario: Scenario,
  kinds: { readonly device: LocalKind; readonly server: Kind },
  { stride: given = 1, offset = 0, only, count }: Choice = {},
): Promise<Result> {
  const world = await worldOf(scenario, kinds)
  const nameOf = ({ index, phase, fault }: Point) => {
    const moment = world.points.moments[index]
    return `${index}/${phase}/${fault}${moment ? ` (${moment.process} ${moment.kind} ${moment.label.replace(/\s+/g, ' ').slice(0, 80)})` : ''}`
  }
  try {
    // Until two agree: what is done once per process (statements of TypeORM's, say) is done then, and stamps fall into one millisecond or two.
    let dry: string[] = []
    for (let i = 0, before = ''; i < 6 && !dry.length; i++) {
      dry = await runPoint(world, scenario, undefined)
      const moments = JSON.stringify(world.points.moments.map(m => [m.process, m.kind, m.label.slice(0, 20)]))
      if (moments === before) break
      before = moments
    }
    if (dry.length) return { points: 0, done: 0, held: 0, failures: [{ point: 'none', problems: dry }] }
    const points = world.points.all()
    const stride = count === undefined ? given : Math.max(1, Math.floor(points.length / count))
    const failures: { point: string; problems: string[] }[] = []
    let done = 0
    for (let i = offset % stride; i < points.length; i += stride) {
      const point = points[i] as Point
      if (only !== undefined && only !== `${point.index}/${point.phase}/${point.fault}`) continue
      done++
      const problems = await runPoint(world, scenario, point)
      if (!world.points.struck) problems.push('the point was not reached')
      if (problems.length) failures.push({ point: nameOf(point), problems })
    }
    return { points: points.length, done, held: done - failures.length, failures }
  } finally {
    for (const each of world.processes.values()) each.remove()
  }
}

async function runPoint(world: World, scenario: Scenario, point: Point | undefined): Promise<string[]> {
  try {
    await world.begin(point)
  } catch (error) {
    world.abandon()
    return [`could not begin, after the point before: ${(error as Error).stack}`]
  }
  try {
    await scenario.act(world)
  } catch (error) {
    if (!(error instanceof Stopped)) world.problems.push(`${(error as Error).stack}`)
  }
  try {
    await world.end(scenario.mend, scenario.rounds ?? 2)
  } catch (error) {
    world.problems.push(`could not go on: ${(error as Error).stack}`)
  }
  return [...world.problems]
}
