// Conflicts that were decided, by a handler or by a person, and what was discarded.

import type { ObjectLiteral } from 'typeorm'
import type { ResolvedConflict } from '../../src/index.js'
import { button, card, compare, which } from '../card.js'
import type { Context } from '../context.js'
import { h } from '../dom.js'
import { isSame, labelOf, propertiesOf } from '../rows.js'
import { time } from '../values.js'
import { nameOf, withChildren } from './discard.js'
import { type Listing, listPanel } from './listPanel.js'

type Resolved = ResolvedConflict<ObjectLiteral>
type Side = 'local' | 'server' | 'base'

const SIDES: Record<Side, string> = {
  local: 'Local: what this device had',
  server: 'Remote: what the server had',
  base: 'Base: what was there before',
}

/** The sides that there are to come back to: not the one that was chosen, which comes last. */
function sidesOf({ local, remote, base, decision }: Resolved): Side[] {
  const rows: Record<Side, ObjectLiteral | null | undefined> = { local, server: remote, base }
  const known = (Object.keys(rows) as Side[]).filter(side => rows[side] !== undefined)
  return known.filter(side => !isSame(rows[side], decision))
}

function undo(context: Context, row: Resolved): void {
  const { entity, resolutionId } = row
  void context.act(async () => {
    const side = await context.ask({
      title: `Undo the decision about ${nameOf(row)}?`,
      sentences: ['The side that you choose comes back as a change, which the next sync pushes. What was decided is forgotten.'],
      choices: sidesOf(row).map(value => ({ value, label: SIDES[value] })),
      confirm: 'Undo',
    })
    if (!side) return
    const chosen = side === 'yes' ? undefined : (side as Side)
    const isDone = await withChildren(context, children => context.journalOf(entity).undo(resolutionId, chosen, children))
    return isDone ? `The decision about ${nameOf(row)} is undone. The next sync pushes that.` : undefined
  })
}

const resultOf = ({ decision, local, remote }: Resolved) => {
  if (isSame(decision, local)) return 'local'
  if (isSame(decision, remote)) return 'remote'
  return decision ? 'own' : 'removed'
}

export const decisionRows: Listing<Resolved> = {
  name: 'decisions',
  title: 'Decisions',
  about: 'What was decided here, the newest first.',
  none: 'Nothing was decided yet.',
  list: (journal, { limit }) => journal.resolved(limit),
  order: (one, other) => other.resolvedAt.getTime() - one.resolvedAt.getTime() || other.resolutionId - one.resolutionId,
  keyOf: ({ resolutionId }) => String(resolutionId),
  card(row, context) {
    const { entity, id, base, local, remote, decision, resolvedAt } = row
    return card({
      ...which(context, row),
      ...{ sides: [decision, local, remote, base], tags: [resultOf(row)] },
      body: [
        h('p', { class: 'detail' }, time(resolvedAt)),
        compare(propertiesOf(context.dataSource, entity), { Base: base, Local: local, Remote: remote, Decision: decision }),
      ],
      actions: context.isReadOnly
        ? []
        : [button('Undo', () => undo(context, row), { about: labelOf(decision, local, remote) ?? id, kind: 'quiet' })],
    })
  },
}

export const decisionsPanel = () => listPanel(decisionRows)
