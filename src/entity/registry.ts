// Which entity syncs where, and the change log of each data source. What is registered is intent: a data source decides what it makes of it.

import type { DataSource, EntityMetadata, EntitySchema } from 'typeorm'
import type { ChangeLog } from '../changes/changeLog.js'
import { SyncConfigurationError, SyncSchemaError } from '../errors.js'
import type { ConflictHandler } from '../sync/conflicts/handlers.js'
import { STAMP } from './hiddenColumns.js'
import { linksBetween } from './links.js'

export interface EnableSyncOptions {
  /** Many-to-many relations that are knowingly left out, on either side: their links differ from device to device. Others sync where both sides do. */
  omit?: string[]
  /**
   * Many-to-many relations that the entity owns, and who decides about a link that one side has and the other one has removed, where it is not known which
   * came first. Of others it is there, and nobody is asked.
   */
  // biome-ignore lint/suspicious/noExplicitAny: links have no class
  links?: Record<string, { onConflict: ConflictHandler<any> }>
  /**
   * References of the entity to itself that may run in circles, as `friend`. Elsewhere, as with a folder's `parent`, two moves that close a
   * circle only together are a conflict.
   */
  cyclic?: string[]
  /**
   * Properties whose values name the scopes of a row, as `['owner', 'project']`: columns of texts, uuids or integers, or to-one relations; an embedded
   * one by its path. A path through to-one relations, as `task.project`, is the value that the row has in its parent: the database keeps it in a hidden
   * column. A server's rules restrict by them who sees and writes a row, and a row that leaves a scope leaves a trace there. The entity's own
   * key is always a scope, and is not named. Each gets an index with `_lastChange`, which synchronize or a migration makes.
   */
  scopes?: string[]
  /** Decides conflicts of this entity where the call of `syncAll` gives no handler for it. */
  // biome-ignore lint/suspicious/noExplicitAny: of whatever entity it is
  onConflict?: ConflictHandler<any>
  /**
   * Urls that the entity had in earlier versions of the application. A server answers there as well; a client goes on with what it knows of the server from
   * then, instead of reading and pushing everything anew.
   */
  formerly?: string[]
  /**
   * Of an entity whose rows are numbered (`@PrimaryGeneratedColumn()`): the rows that are there when sync is enabled for it have the same numbers on all
   * databases, as where each began with a copy of one. They are the same rows then; with a number, those up to it. Where their contents differ, the first sync
   * finds conflicts.
   */
  sameNumbers?: boolean | number
  /**
   * Numbers that people see, as an invoice's: columns of integers that may be null. The server gives each pushed row that has none the next one; a device
   * has null until then, and what it writes there itself is taken back. `per` counts rows with the same values of these properties together:
   * `{ number: { per: ['account'] } }`.
   */
  assignedNumbers?: Record<string, { per?: string[] }>
  /** A collection for clients of 2012 writes dates as numbers. */
  dates?: 'iso' | 'number'
}

/** An entity class, or the schema of an entity without decorators. */
// biome-ignore lint/suspicious/noExplicitAny: a schema of any entity
export type SyncTarget = (abstract new (...parameters: any[]) => object) | EntitySchema<any>

export interface EnabledEntity {
  readonly metadata: EntityMetadata
  readonly urls: readonly string[]
  readonly options: EnableSyncOptions
}

/** All urls at which a server answers for it: its own first. */
export const servedUrls = ({ urls, options: { formerly = [] } }: Omit<EnabledEntity, 'metadata'>): readonly string[] => [
  ...urls,
  ...formerly,
]

const registered = new Map<SyncTarget, { urls: readonly string[]; options: EnableSyncOptions }>()
/** What was found so far, by the metadata of a data source, which are new ones each time that it is initialised. */
let found = new WeakMap<readonly EntityMetadata[], readonly EnabledEntity[]>()

/** Notes that an entity syncs with these urls. A second time it replaces them. */
export function registerEntity(target: SyncTarget, urls: readonly string[], options: EnableSyncOptions = {}): void {
  registered.set(target, { urls, options })
  found = new WeakMap()
}

/** Is there an entity that syncs with such a url, in whatever data source? It is known before that is initialised. */
export const isRegistered = (isMeant: (url: string) => boolean): boolean =>
  [...registered.values()].some(entity => servedUrls(entity).some(isMeant))

/** The entities of an initialised data source that sync, and the junction tables between them. Throws SyncConfigurationError for one that was enabled too late. */
export function syncedEntities(dataSource: DataSource): readonly EnabledEntity[] {
  const known = found.get(dataSource.entityMetadatas)
  if (known) return known
  const entities: EnabledEntity[] = []
  for (const [target, { urls, options }] of registered) {
    const metadata = metadataOf(dataSource, target)
    if (!metadata) continue
    const { name, columns } = metadata
    const stamp = columns.find(column => column.propertyName === STAMP.name)
    if (!stamp)
      throw new SyncConfigurationError(
        `Sync was enabled for ${name} after the data source was initialised. Call enableSync before dataSource.initialize(), ` +
          `with the class or EntitySchema that the data source is given.`,
        { entity: name },
      )
    if (stamp.databaseName !== STAMP.name)
      throw new SyncConfigurationError(
        `The naming strategy calls the column _lastChange of ${name} ${stamp.databaseName}; let it keep a name that is given.`,
        { entity: name },
      )
    entities.push({ metadata, urls, options })
  }
  entities.push(...linksBetween(entities))
  found.set(dataSource.entityMetadatas, entities)
  return entities
}

function metadataOf(dataSource: DataSource, target: SyncTarget): EntityMetadata | undefined {
  const { entityMetadatas, options } = dataSource
  if (typeof target === 'function') return entityMetadatas.find(metadata => metadata.target === target)
  // schemas are found by name, and another one of this process may have the same
  const given: unknown[] = Object.values(options.entities ?? {})
  const isNamesake = (other: unknown) => other !== target && (other as EntitySchema)?.options?.name === target.options.name
  if (!given.includes(target) && given.some(isNamesake)) return
  // so may a class, which is not found by name
  const own = target.options.target ?? target.options.name
  return entityMetadatas.find(metadata => metadata.target === own)
}

// ---------------------------------------------------------------- the state of a data source

interface State {
  log?: ChangeLog | SyncSchemaError
  readonly setUp: () => Promise<void>
  triedAt: number
}

const states = new WeakMap<DataSource, State>()

/** Notes that withSync was applied. False where it was applied before. */
export function noteDataSource(dataSource: DataSource, setUp: () => Promise<void>): boolean {
  if (states.has(dataSource)) return false
  states.set(dataSource, { setUp, triedAt: 0 })
  return true
}

const PAUSE = 5_000

/** Where a table or column was missing, looks now and then whether it is there: a replica replays a migration, or another program runs it. */
export async function setUpAgain(dataSource: DataSource): Promise<void> {
  const state = states.get(dataSource)
  if (!state || !lacksSchema(dataSource) || !dataSource.isInitialized || Date.now() - state.triedAt < PAUSE) return
  state.triedAt = Date.now()
  await state.setUp()
}

/** Notes the change log that is set up, or why there is none yet. */
export function noteChangeLog(dataSource: DataSource, log: ChangeLog | SyncSchemaError): void {
  const state = states.get(dataSource)
  if (state) state.log = log
}

/** Was the set-up put off, because a table or column is missing? */
export const lacksSchema = (dataSource: DataSource): boolean => states.get(dataSource)?.log instanceof SyncSchemaError

/** Throws SyncConfigurationError where withSync was not applied, or the data source is not initialised, SyncSchemaError where a table or column is missing. */
export function changeLogOf(dataSource: DataSource): ChangeLog {
  const state = states.get(dataSource)
  if (!state)
    throw new SyncConfigurationError(
      'This data source does not know of sync. Write `withSync(new DataSource({ … }))`, before it is initialised.',
    )
  if (!state.log || !dataSource.isInitialized)
    throw new SyncConfigurationError('This data source is not initialised. Call `await dataSource.initialize()` first.')
  if (state.log instanceof SyncSchemaError) throw state.log
  return state.log
}
