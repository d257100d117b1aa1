// What was changed here and not pushed yet.

import type { ObjectLiteral } from 'typeorm'
import type { PendingChange } from '../../src/index.js'
import { button, card, compare, which } from '../card.js'
import type { Context } from '../context.js'
import { labelOf, propertiesOf } from '../rows.js'
import { discard } from './discard.js'
import { type Listing, listPanel } from './listPanel.js'

type Pending = PendingChange<ObjectLiteral>

/** What was done to a row. */
export function changeOf({ local, base }: Pick<Pending, 'local' | 'base'>): string {
  if (local === null) return 'removed'
  return base === null ? 'new' : 'changed'
}

/** The change, as versions beside each other. */
export function changed(
  { dataSource }: Context,
  { entity, local, base }: Pick<Pending, 'entity' | 'local' | 'base'>,
): HTMLElement | undefined {
  const properties = propertiesOf(dataSource, entity)
  if (local && base) return compare(properties, { Before: base, Now: local })
  return local ? compare(properties, { Now: local }) : compare(properties, { Before: base ?? null })
}

const pending: Listing<Pending> = {
  name: 'pending',
  title: 'Pending',
  about: 'Changed here, and not pushed yet. The next sync pushes them.',
  none: 'Nothing is pending: everything that was changed here is pushed.',
  list: (journal, options) => journal.pending(options),
  keyOf: ({ entity, id, url }) => JSON.stringify([entity, id, url]),
  card: (row, context) =>
    card({
      ...which(context, row),
      ...{ sides: [row.local, row.base], tags: [changeOf(row), row.heldBack && 'pushed later'] },
      why: row.heldBack ?? (row.ignored && `The server has no column yet for: ${row.ignored.join(', ')}.`),
      body: [changed(context, row)],
      actions: context.isReadOnly
        ? []
        : [button('Discard', () => discard(context, row), { about: labelOf(row.local, row.base) ?? row.id, kind: 'quiet' })],
    }),
}

export const pendingPanel = () => listPanel(pending)
export const pendingRows = pending
