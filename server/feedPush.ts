// Answers POST to the feed: what a client changed in several collections (PROTOCOL.md, The feed).

import type { ChangeLog } from '../src/changes/changeLog.js'
import type { Collection } from '../src/changes/collections/collection.js'
import { groupBy } from '../src/changes/collections/groupBy.js'
import { BadRequestError } from '../src/protocol/errors.js'
import { writeUpdate } from '../src/protocol/messages.js'
import { readFeedGroups } from '../src/protocol/pushedRows.js'
import { readFeedPushQuery } from '../src/protocol/queries.js'
import { servedTo } from './access.js'
import { hashOf, keyOf, readKey, readRows, storeAndAnswer, tooManyRows } from './answerPush.js'
import { readJson } from './body.js'
import { type Caller, checkPrincipal } from './caller.js'
import type { Exchange } from './exchange.js'
import { pathsOf } from './feedPaths.js'
import { saysTwice } from './jsonBytes.js'
import type { PushLimits } from './limits.js'
import type { PostedRow, Rejected } from './posted.js'
import { Problem } from './problem.js'

export async function answerFeedPush(exchange: Exchange, log: ChangeLog, limits: PushLimits, caller: Caller) {
  const { principal } = caller
  const served = servedTo(log, caller)
  const { key: keyInQuery, collections: asked, principal: meant, ...query } = readFeedPushQuery(exchange.query)
  checkPrincipal(meant, principal)
  const key = readKey(exchange, keyInQuery)
  const { bytes, json, isRounded } = await readJson(exchange, limits)
  const groups = readFeedGroups(json)
  if (saysTwice(bytes)) throw new BadRequestError('The body has a name twice.')
  if ([...groups.values()].reduce((sum, group) => sum + group.length, 0) > limits.maxRows) throw tooManyRows(limits)
  const known = pathsOf(served, asked)
  const posted = pathsOf(served, [...groups.keys()])
  if (posted.unknown.length) throw unknownCollections(posted.unknown)

  const rows: PostedRow[] = []
  const rejections: Rejected[] = []
  for (const collection of posted.collections) {
    const group = readRows(collection, groups.get(posted.pathOf(collection)), isRounded)
    for (const row of group.rows) rows.push(row)
    for (const rejection of group.rejections) rejections.push(rejection)
  }
  const pathOf = (collection: Collection) => (posted.collections.includes(collection) ? posted : known).pathOf(collection)
  const byPath = <T>(some: ReadonlyMap<Collection, T>) => Object.fromEntries([...some].map(([collection, it]) => [pathOf(collection), it]))
  const push = {
    ...query,
    rows,
    compared: new Set([...known.collections, ...posted.collections]),
    answersReached: true,
    // no table has such a name
    ...(key !== undefined && { key: keyOf(principal, `/sync ${key}`) }),
    hash: hashOf(bytes),
    caller,
    writeIgnored: byPath,
  }
  await storeAndAnswer(exchange, log, push, rejections, principal, {
    rejection: ({ collection, ...rejection }) => ({ collection: pathOf(collection), ...rejection }),
    contested: contested => {
      const updates = contested.map(({ collection, ...update }) => ({ collection, row: writeUpdate(update) }))
      const changes = [...groupBy(updates, u => u.collection)].map(([collection, some]) => [collection, some.map(u => u.row)] as const)
      return { changes: byPath(new Map(changes)) }
    },
  })
}

function unknownCollections(unknown: readonly string[]): Problem {
  return new Problem(422, 'Nothing was stored: some of these collections are not served here.', {
    type: 'urn:typeorm-sync:collections-unknown',
    title: 'Collections unknown',
    members: { unknown },
  })
}
