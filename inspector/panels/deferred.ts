// Rows of a server that are not applied here yet, and why.

import type { ObjectLiteral } from 'typeorm'
import type { DeferredRow } from '../../src/index.js'
import { button, card, compare, which } from '../card.js'
import { differences, labelOf, propertiesOf } from '../rows.js'
import { discard } from './discard.js'
import { type Listing, listPanel } from './listPanel.js'
import { reasonOf } from './words.js'

export const deferredRows: Listing<DeferredRow<ObjectLiteral>> = {
  name: 'deferred',
  title: 'Deferred',
  about: 'The server has these rows, and this database does not hold them yet. They are applied by themselves.',
  none: 'No row is deferred.',
  list: (journal, options) => journal.deferred(options),
  keyOf: ({ entity, id, url }) => JSON.stringify([entity, id, url]),
  card(row, context) {
    const { entity, id, local, remote, base, reason, properties } = row
    const known = propertiesOf(context.dataSource, entity)
    const isChanged = local && base !== undefined && differences(known, base, local).length > 0
    const sides = local ? { Local: local, Remote: remote } : { Remote: remote }
    const about = properties.length ? ` It is about: ${properties.join(', ')}.` : ''
    return card({
      ...which(context, row),
      ...{ sides: [remote, local, base], tags: [remote === null ? 'removed there' : undefined, reason] },
      why: reasonOf(reason) + about,
      body: [compare(known, sides)],
      actions:
        context.isReadOnly || !isChanged
          ? []
          : [button('Discard', () => discard(context, row), { about: labelOf(local, remote) ?? id, kind: 'quiet' })],
    })
  },
}

export const deferredPanel = () => listPanel(deferredRows)
