// Writers. Arguments: kind, database, seed, urls of the servers, and each writer's way in: post, host, raw or script.

import 'reflect-metadata'
import { Random } from '../simulation/random.js'
import { connect, dataSourceOn, type Kind } from './database.js'
import { hostWriter } from './hostWriter.js'
import { postWriter } from './postWriter.js'
import { rawWriter, scriptWriter } from './sqlWriters.js'
import { say, wait } from './words.js'

const [kind, database = '', seed, urls = '', ...ways] = process.argv.slice(2) as [Kind, string, string, string, ...string[]]

/** Writes one transaction, whatever becomes of it. */
export type Write = () => Promise<void>

let state: 'unapplied' | 'writing' | 'over' = 'unapplied'
process.on('message', said => {
  state = said === 'go' ? 'writing' : 'over'
})

// also where the process that started it has ended; what was said is on its way, and no process uses the connections any more
process.on('disconnect', () => setTimeout(() => process.exit(0), 200))

async function open(way: string, i: number): Promise<Write> {
  const random = new Random(Number(seed) + i)
  const name = `${way}${seed}${i}`
  if (way === 'post') return postWriter(name, urls.split(','), random)
  if (way === 'host') return hostWriter(name, kind, await dataSourceOn(kind, database).initialize(), random)
  const session = await connect(kind, database)
  return way === 'raw' ? rawWriter(name, kind, session, random) : scriptWriter(name, kind, database, session, random)
}

const writers = await Promise.all(ways.map(open))
say({ said: 'ready' })
while (state === 'unapplied') await wait(5)
await Promise.all(
  writers.map(async (write, i) => {
    while (state === 'writing') {
      try {
        await write()
      } catch (error) {
        say({ said: 'problem', text: `${ways[i]} writer: ${(error as Error).stack}` })
        await wait(100)
      }
    }
  }),
)
process.disconnect()
