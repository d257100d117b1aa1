// What a sync of either side asks and is told, what may go wrong with it, and whether both were told the same.

import type { SameWorld } from './sameWorld.js'

export interface Fault {
  /** The how-manyth request of the sync it strikes. */
  readonly at: number
  readonly kind: 'request lost' | 'answer lost' | 'later'
}

/** A sync that both sides make. */
export interface SameSync {
  readonly client: string
  readonly server: string
  readonly fault: Fault | undefined
}

/** What one side did in an operation: its requests with their answers, what its handler was asked, and how it ended. */
export interface Seen<Push> {
  readonly requests: string[]
  readonly asked: Set<string>
  end: string
  /** A push that arrives later. */
  late: Push | undefined
}

export const nothingSeen = <Push>(): Seen<Push> => ({ requests: [], asked: new Set(), end: '', late: undefined })

export interface HttpRequest {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly headers: Record<string, string>
  readonly body: string | undefined
}

/** A request, or its answer, did not arrive. */
export class Lost extends TypeError {}

export function compareTold(w: SameWorld, inModel: Seen<unknown>, inCode: Seen<unknown>): string[] {
  const differences: string[] = []
  for (let i = 0; i < Math.max(inModel.requests.length, inCode.requests.length); i++) {
    const [m, c] = [inModel.requests[i] ?? 'none', inCode.requests[i] ?? 'none']
    w.trace(`    ${c}`)
    if (m !== c) differences.push(`request ${i + 1}: model ${m}, code ${c}`)
  }
  const [m, c] = [inModel, inCode].map(seen => [...seen.asked].sort().join(' | '))
  if (m !== c) differences.push(`asked: model ${m}, code ${c}`)
  if (inModel.end !== inCode.end) differences.push(`ends: model ${inModel.end}, code ${inCode.end}`)
  return differences
}
