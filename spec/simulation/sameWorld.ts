// What the parts of one history on both sides share: what its seed has drawn, its databases, and what is known of them while it runs.

import type { Post } from './model.js'
import { type Policy, policiesOf } from './policies.js'
import { Random } from './random.js'
import type { Backup, Both } from './sameDatabases.js'
import type { HttpRequest } from './sameTold.js'
import { choicesOf, ONE_TABLE_OF_USERS } from './schemas.js'
import { hasUsers, TOPOLOGIES, type Topology } from './topologies.js'

/** A push that has not arrived yet, of the model and of the code. */
interface LatePush {
  readonly server: string
  readonly post: Post
  readonly http: HttpRequest
  readonly user: string
}

/** How often what happens. */
function drawOdds({ chance, next }: Random, isOfUsers: boolean) {
  const weight = () => (chance(0.4) ? 0 : next()) // some faults are off in any one history
  return {
    fault: weight() * 0.5,
    remove: next() * 0.5,
    bad: weight() * 0.3,
    bulk: weight() * 0.15,
    late: weight() * 0.5,
    collect: weight() * 0.2,
    reset: weight() * 0.04,
    backup: weight() * 0.12,
    host: weight() * 0.3,
    write: isOfUsers ? 0.15 + next() * 0.3 : 0.3 + next() * 0.4,
    grant: weight() * 0.5,
    forget: weight() * 0.1,
    change: weight() * 0.08,
    wipe: weight() * 0.03,
    move: next() * 0.5,
  }
}

export class SameWorld {
  // ------------------------------------------------------------ what the seed has drawn

  readonly random: Random
  readonly odds: ReturnType<typeof drawOdds>
  readonly isOfUsers: boolean
  /** What users may see and change; undefined: all is public. */
  readonly policy: Policy | undefined
  /** The columns by which users see rows. */
  readonly scopes: ReturnType<typeof choicesOf>
  /** How many values there are of a property: few, and both sides often write the same. */
  readonly values: number

  // ------------------------------------------------------------ who is there

  readonly links: readonly (readonly [client: string, server: string])[]
  readonly names: readonly string[]
  readonly servers: ReadonlySet<string>
  readonly clients: ReadonlySet<string>
  readonly databases = new Map<string, Both>()

  // ------------------------------------------------------------ what has happened

  readonly backups = new Map<string, Backup>()
  readonly late: LatePush[] = []
  /** Who has a device in their hands. */
  readonly userOf = new Map<string, string>()
  /** Names that were given to the histories of databases. */
  collections = 0
  /** Keys that were given to pushes of the model. */
  keys = 0

  constructor(
    seed: number,
    topology: Topology,
    readonly trace: (line: string) => void,
  ) {
    // the order of these draws is part of what a seed means
    this.random = new Random(seed)
    this.isOfUsers = hasUsers(topology)
    this.odds = drawOdds(this.random, this.isOfUsers)
    this.policy = this.isOfUsers ? this.random.pick(policiesOf(ONE_TABLE_OF_USERS)) : undefined
    this.scopes = this.isOfUsers ? choicesOf(ONE_TABLE_OF_USERS.tables[0]!) : []
    this.values = this.random.pick([2, 4, 50])
    const links: SameWorld['links'] = TOPOLOGIES[topology]
    this.links = links
    this.names = [...new Set(links.flat())]
    this.servers = new Set(links.map(([, s]) => s))
    this.clients = new Set(links.map(([c]) => c))
  }

  at(name: string): Both {
    return this.databases.get(name) as Both
  }

  /** Those that are no servers. */
  get devices(): string[] {
    return this.names.filter(name => !this.servers.has(name))
  }
}
