// Syncs of both sides, and pushes that arrive late.

import * as model from './model.js'
import { syncCode } from './sameCodeSync.js'
import { meetOther } from './sameHands.js'
import { syncModel } from './sameModelSync.js'
import { describeAnswer, describeBody, describeModelPosted, refuses } from './sameText.js'
import { compareTold } from './sameTold.js'
import type { SameWorld } from './sameWorld.js'

export async function syncBoth(w: SameWorld): Promise<[string, string[]]> {
  const { chance, pick, next } = w.random
  const [client, server] = pick(w.links)
  const kind = pick(['request lost', 'answer lost', 'later'] as const)
  const fault = chance(w.odds.fault) ? { at: 1 + Math.floor(next() * 4), kind } : undefined
  const inModel = syncModel(w, { client, server, fault })
  const inCode = await syncCode(w, { client, server, fault })
  if (inModel.late && inCode.late) w.late.push({ server, post: inModel.late, http: inCode.late, user: w.userOf.get(client) as string })
  const line = `${client} syncs with ${server}${fault ? `, request ${fault.at}: ${fault.kind}` : ''}`
  const differences = compareTold(w, inModel, inCode)
  const isOther = !differences.length && inCode.end === 'other user'
  return [isOther ? `${line}; ${await meetOther(w, client, server)}` : line, differences]
}

/** One of the pushes that have not arrived yet arrives. */
export async function deliver(w: SameWorld): Promise<[string, string[]]> {
  const i = Math.floor(w.random.next() * w.late.length)
  const [{ server, post, http, user }] = w.late.splice(i, 1) as [SameWorld['late'][number]]
  const inModel = describeModelPosted(model.post(w.at(server).model, post, refuses, user))
  const inCode = describeAnswer('POST', await w.at(server).code.handler(http.method, http.path, http.headers, http.body))
  const line = `a late push arrives at ${server}: ${describeBody(post.body)}`
  return [line, inModel === inCode ? [] : [`answer: model ${inModel}, code ${inCode}`]]
}
