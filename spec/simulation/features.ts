// What a history has besides the small world of old, drawn by its seed apart from all else: a seed of old without any of it runs as it always did.

import { Random } from './random.js'
import {
  COMPOSITE_SCHEMAS,
  GIVEN_SCHEMAS,
  NUMBERED_SCHEMAS,
  OTHER_USER_SCHEMAS,
  RELATED_USER_SCHEMAS,
  type Schema,
  USER_SCHEMAS,
  WIDE_SCHEMAS,
} from './schemas.js'
import { hasUsers, type ServerKind, type Topology } from './topologies.js'

/** Schemas that fail for want of a remedy in the engine; to be switched on with it. */
const WITHOUT_REMEDY: readonly string[] = []
/** Values that a server has no column for yet are pushed when it has, and nothing replaces them before that. */
const SERVERS_GAIN = true
const JOURNAL_IS_SAFE = true
const REST_IS_TOLD = true
const PUSH_IS_WHOLE = true
/** What was rejected for a unique value is pushed again when no other row has it any more. */
const IS_TOLD_AGAIN = true

export interface Features {
  /** Undefined: one of the small ones of old. */
  readonly schema: Schema | undefined
  /** How often the journal of a device is called. */
  readonly journal: number
  /** Before anything is decided and mended in the end, it comes to rest once without: what differs then stands in a journal. */
  readonly rest: boolean
  /** What is valid as a whole is stored as a whole: no row is rejected for a unique value that no other row would have had. */
  readonly valid: boolean
  /** At rest no row is unapplied, or was rejected, for a unique value that no other row has any more. */
  readonly again: boolean
  /** Databases that gain a column only later. */
  readonly late: ReadonlySet<string>
  /** Collection by collection, as with servers that have no feed. */
  readonly byCollection: boolean
  /** How often a request of a device is sent as somebody else, who has signed in there meanwhile. */
  readonly strangers: number
  /** How often somebody removes a row on their device of a list that they have just lost. */
  readonly losing: number
  /** Where rows are linked, an application removes neither rows nor links: each link is there in the end. */
  readonly keepsLinks: boolean
}

const OLD_SHARE = 0.4
/** How many of the others have keys of several columns. */
const COMPOSITES = 0.15
/** How many of the others have rows that the database counts. */
const NUMBERED = 0.12
/** How many of those with users have keys of several columns, links, or rows that the database counts. */
const OTHER_USERS = 0.3
/** How many of all with users have trees, unique values, or rows that need each other. */
const RELATED_USERS = 0.25
/** How many of the others have numbers of the application's. */
const GIVEN = 0.08
const BY_COLLECTION = 0.25
const STRANGERS = 0.3

export function drawFeatures(seed: number, topology: Topology, kind: ServerKind): Features {
  return { ...drawOthers(seed, topology, kind), keepsLinks: new Random(Math.imul(seed, 0x9e3779b9)).chance(0.5) }
}

type Others = Omit<Features, 'keepsLinks'>

function drawOthers(seed: number, topology: Topology, kind: ServerKind): Others {
  const random = new Random(Math.imul(seed, 0x9e3779b1) ^ (topology.length << 16))
  const { chance, pick } = random
  if (hasUsers(topology)) {
    const losing = new Random(Math.imul(seed, 0x165667b1))
    const others = new Random(Math.imul(seed, 0x85ebca6b))
    const drawn = featuresOfUsers(random)
    const related = new Random(Math.imul(seed, 0x27d4eb2f))
    const other = others.chance(OTHER_USERS) ? others.pick(OTHER_USER_SCHEMAS) : drawn.schema
    const schema = related.chance(RELATED_USERS) ? related.pick(RELATED_USER_SCHEMAS) : other
    return {
      ...drawn,
      schema: schema && !isElsewhere(schema, topology, kind) ? schema : other,
      losing: losing.chance(0.7) ? losing.next() : 0,
    }
  }
  const byCollection = new Random(Math.imul(seed, 0x85ebca6b)).chance(BY_COLLECTION)
  const others = new Random(Math.imul(seed, 0xc2b2ae35))
  const strangers = others.chance(STRANGERS) ? others.next() * 0.1 : 0
  if (chance(OLD_SHARE))
    return { schema: undefined, journal: 0, rest: false, valid: false, again: false, late: new Set(), byCollection, strangers, losing: 0 }
  const drawn = chance(0.8) ? pick(WIDE_SCHEMAS) : undefined
  const composites = new Random(Math.imul(seed, 0x27d4eb2f))
  const wide = drawn && composites.chance(COMPOSITES) ? composites.pick(COMPOSITE_SCHEMAS) : drawn
  const numbered = new Random(Math.imul(seed, 0x165667b1))
  const counted = wide && numbered.chance(NUMBERED) ? numbered.pick(NUMBERED_SCHEMAS) : wide
  const given = new Random(Math.imul(seed, 0x2545f491))
  const schema = counted && given.chance(GIVEN) ? given.pick(GIVEN_SCHEMAS) : counted
  const journal = chance(0.4) ? random.next() * 0.06 : 0
  const rest = chance(0.4)
  const names = pick(
    SERVERS_GAIN
      ? [['S', 'U'], ['S', 'T', 'R', 'U'], ['d1'], ['d1', 'd3'], ['d1', 'S'], ['d2', 'R'], ['T']]
      : [['d1'], ['d1', 'd3'], ['d2']],
  )
  const isTried = schema === undefined || !(WITHOUT_REMEDY.includes(schema.name) || isElsewhere(schema, topology, kind))
  return {
    schema: isTried ? schema : undefined,
    journal: JOURNAL_IS_SAFE ? journal : 0,
    rest: REST_IS_TOLD && rest,
    valid: PUSH_IS_WHOLE,
    again: IS_TOLD_AGAIN,
    late: new Set(isTried && schema?.gained ? names : []),
    byCollection,
    strangers,
    losing: 0,
  }
}

/** Is it not tried on this kind of database? */
const isElsewhere = ({ isRound, trigger }: Schema, topology: Topology, kind: ServerKind) =>
  (kind === 'mysql' && isRound) || (kind !== 'sqlite' && trigger !== undefined && (kind === 'mysql' || topology.endsWith('relay')))

/** Users see a part of the rows; others than those who sign in are in the history itself. */
function featuresOfUsers({ chance, next, pick }: Random): Others {
  const none = { rest: false, valid: false, again: false, late: new Set<string>(), strangers: 0, losing: 0 }
  return {
    ...none,
    schema: pick(USER_SCHEMAS),
    byCollection: chance(BY_COLLECTION),
    journal: chance(0.3) ? next() * 0.04 : 0,
  }
}

/** A schema by its name, for a history that is to have it. */
export const schemaNamed = (name: string): Schema | undefined =>
  [
    ...WIDE_SCHEMAS,
    ...COMPOSITE_SCHEMAS,
    ...NUMBERED_SCHEMAS,
    ...GIVEN_SCHEMAS,
    ...USER_SCHEMAS,
    ...OTHER_USER_SCHEMAS,
    ...RELATED_USER_SCHEMAS,
  ].find(s => s.name === name)
