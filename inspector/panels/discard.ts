// Drops a local change, after a question.

import { UnpushedChildrenError } from '../../src/index.js'
import type { Context } from '../context.js'
import { labelOf, type Row } from '../rows.js'
import { count } from './words.js'

interface Named {
  readonly entity: string
  readonly id: string
  readonly url: string
  readonly local: Row
  readonly base: Row
  readonly code?: string
}

export const nameOf = ({ entity, id, local, base }: Pick<Named, 'entity' | 'id' | 'local' | 'base'>) =>
  `${entity} “${labelOf(local, base) ?? id}”`

export function discard(context: Context, row: Named): void {
  const isForGood = row.code === 'no-access'
  void context.act(async () => {
    const answer = await context.ask({
      title: `Discard the change of ${nameOf(row)}?`,
      sentences: [
        isForGood ? 'What was changed here is lost.' : 'The row becomes what the server has.',
        isForGood
          ? 'This cannot be undone.'
          : 'The change stays among the decisions, where it can be brought back until the row changes again.',
      ],
      confirm: 'Discard',
    })
    if (!answer) return
    const { url } = row
    const isDone = await withChildren(context, children => context.journalOf(row.entity).discard(row.id, { url, ...children }))
    return isDone ? `The change of ${nameOf(row)} is discarded.` : undefined
  })
}

/** Does what may remove other rows as well, which were never pushed: asks before it does. False: it was left. */
export async function withChildren({ ask }: Context, work: (children: { children?: 'journal' }) => Promise<void>): Promise<boolean> {
  try {
    await work({})
  } catch (error) {
    if (!(error instanceof UnpushedChildrenError)) throw error
    const { children } = error
    const some = children.slice(0, 5).map(({ entity, id }) => `${entity} ${id}`)
    const answer = await ask({
      title: `${count(children.length, 'row goes', 'rows go')} with it`,
      sentences: [
        `They need it, and hold something that the server does not have: ${some.join(', ')}${children.length > some.length ? ', …' : ''}.`,
        'They stay among the decisions, where they can be brought back.',
      ],
      confirm: 'Remove them too',
    })
    if (!answer) return false
    await work({ children: 'journal' })
  }
  return true
}
