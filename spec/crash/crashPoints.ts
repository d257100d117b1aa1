// Lets every scenario go wrong at each of its moments, on each kind of database.
//   npm run crash-points -- [--scenario PATTERN] [--kinds sqljs,libsql,wal of the devices] [--database postgres|mysql of the servers] [--stride N] [--offset N] [--count N of each] [--only 12/before/gone] [--show N]

import 'reflect-metadata'
import { OTHER_KINDS, type OtherKind } from '../simulation/otherDatabase.js'
import { runScenario } from './run.js'
import { KINDS, SCENARIOS } from './scenarios.js'

const option = (name: string, otherwise: string): string => {
  const i = process.argv.indexOf(`--${name}`)
  return i < 0 ? otherwise : (process.argv[i + 1] ?? otherwise)
}
const stride = Number(option('stride', '1'))
const offset = Number(option('offset', '0'))
const show = Number(option('show', '5'))
const only = process.argv.includes('--only') ? option('only', '') : undefined
const count = process.argv.includes('--count') ? Number(option('count', '')) : undefined
const kinds = option('kinds', 'sqljs,libsql').split(',')
const database = option('database', '')
// a short run uses the kinds in turn
const isAlternating = process.argv.includes('--alternate')
const scenarios = SCENARIOS.filter(s => new RegExp(option('scenario', '')).test(s.name))

const isOther = (name: string): name is OtherKind => OTHER_KINDS.includes(name as OtherKind)
if (database && !isOther(database)) throw new Error(`--database is one of ${OTHER_KINDS.join(', ')}`)

// By how long a transaction took the engine decides how many rows the next one has. Here none takes any time: a point is where it was counted, on a busy
// machine too.
performance.now = () => 0

const start = Date.now()
let [done, held] = [0, 0]
let isComplete = true
for (const [i, scenario] of scenarios.entries()) {
  for (const kind of isAlternating ? [kinds[i % kinds.length] as string] : kinds) {
    const begun = Date.now()
    const result = await runScenario(
      scenario,
      { ...KINDS[kind]!, ...(isOther(database) && { server: database }) },
      {
        stride,
        offset: offset * (isAlternating ? i : 1),
        only,
        ...(count !== undefined && { count }),
      },
    )
    done += result.done
    held += result.held
    if (result.failures.length) isComplete = false
    const seconds = ((Date.now() - begun) / 1000).toFixed(0)
    console.log(
      `${result.held} of ${result.done} points${result.done < result.points ? ` (there are ${result.points})` : ''}: ${scenario.name} (${kind}${database && `, ${database}`}, ${seconds} s)`,
    )
    // one failure of each sort
    const sorts = new Map<string, { point: string; problems: string[]; count: number }>()
    for (const { point, problems } of result.failures) {
      const sort = (problems[0] ?? '').replace(/[\d"{}[\]]/g, '').slice(0, 60)
      const known = sorts.get(sort)
      if (known) known.count++
      else sorts.set(sort, { point, problems, count: 1 })
    }
    for (const { point, problems, count } of [...sorts.values()].slice(0, show))
      console.log(`  ${count} × ${point}\n    ${problems.slice(0, 3).join('\n    ').slice(0, 1_500)}`)
  }
}
console.log(`${held} of ${done} points in ${((Date.now() - start) / 1000).toFixed(0)} s`)
process.exit(isComplete && done > 0 ? 0 : 1)
