// The options of a server.

import type { DataSource } from 'typeorm'
import type { ChangeLog } from '../src/changes/changeLog.js'
import { changeLogOf } from '../src/entity/registry.js'
import { SyncConfigurationError } from '../src/errors.js'
import { assignedNumbersOf } from './assignedNumbers.js'
import type { LiveLimits, PullLimits, PushLimits } from './limits.js'
import type { FindPrincipal, Principal } from './principal.js'
import type { SyncRequest } from './request.js'
import type { Rule } from './rules.js'
import { rulesOf } from './rulesOf.js'
import type { SchemaVersions } from './versions.js'

/** `Asked` is what `principal` gets. */
export interface ServerOptions<P extends Principal = Principal, Asked = SyncRequest>
  extends Partial<PullLimits>,
    Partial<PushLimits>,
    Partial<LiveLimits> {
  /** Says that everybody who reaches these routes may read and write every row; or `rules` say who may. */
  readonly public?: true
  /** Who may see and change which rows. An entity without a rule is not served. They need a `principal`. */
  readonly rules?: readonly Rule<P>[]
  /**
   * Says who asks. With it, a device is bound to the user whose rows it holds: answers name them, and what a push, an idempotency key, a page
   * or an ETag of another user says does not count.
   */
  readonly principal?: FindPrincipal<P, Asked>
  /** The version of the schema, and what clients of earlier ones need. Without it every client is served as the entities are. */
  readonly schema?: SchemaVersions
  /** A path before those of the entities. */
  readonly prefix?: string
}

/** Everybody may do everything, or rules say who may do what. */
export type Declared<P extends Principal, Asked> =
  | { readonly public: true }
  | { readonly rules: readonly Rule<P>[]; readonly principal: FindPrincipal<P, Asked> }

export type Limits = PullLimits & PushLimits & LiveLimits

const LIMITS: Limits = {
  maxRows: 10_000,
  maxBodyBytes: 10 * 1024 * 1024,
  pageSize: 1_000,
  maxPageSize: 10_000,
  pageBytes: 4 * 1024 * 1024,
  requestTimeout: 30_000,
  maxListeners: 5_000,
  maxListenersPerPrincipal: 20,
  watchInterval: 250,
  heartbeat: 20_000,
}

/** `name` is the function that was given the options. Throws SyncConfigurationError. */
export function checkOptions(
  name: string,
  options: (Pick<ServerOptions, 'public' | 'rules'> & { readonly principal?: unknown }) | undefined,
): void {
  const reject = (why: string): never => {
    throw new SyncConfigurationError(`${name}: ${why}`)
  }
  if (!options?.rules && options?.public !== true)
    reject(
      `it is not said who may see and change which rows. Say it: ${name}(dataSource, { principal, rules: [rule(Task, …)] }). Or, if everybody who reaches these routes may see and change all of them: ${name}(dataSource, { public: true }).`,
    )
  if (options?.rules && options.public) reject('there are rules, and `public: true`, which says that there are none.')
  if (options?.rules && !options.principal) reject('rules are about somebody: say who asks, { principal: request => ({ id: … }) }.')
}

/** At once, where the entities are known already; otherwise the first request says what is wrong. Throws SyncConfigurationError. */
export function checkEntities(dataSource: DataSource, rules: ServerOptions['rules']): void {
  let log: ChangeLog
  try {
    log = changeLogOf(dataSource)
  } catch {
    return
  }
  assignedNumbersOf(log)
  if (rules) rulesOf(log, rules)
}

/** Throws SyncConfigurationError. */
export function limitsOf(name: string, options: Partial<Limits>): Limits {
  const limits = { ...LIMITS }
  for (const limit of Object.keys(LIMITS) as (keyof Limits)[]) {
    const value = options[limit] ?? LIMITS[limit]
    if (!Number.isSafeInteger(value) || value < 1) throw new SyncConfigurationError(`${name}: ${limit} has to be a whole number above 0.`)
    Object.assign(limits, { [limit]: value })
  }
  return limits
}
