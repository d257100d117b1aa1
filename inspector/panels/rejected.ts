// What a server rejected.

import type { ObjectLiteral } from 'typeorm'
import type { RejectedRow } from '../../src/index.js'
import { button, card, which } from '../card.js'
import type { Context } from '../context.js'
import { h } from '../dom.js'
import { labelOf } from '../rows.js'
import { discard, nameOf } from './discard.js'
import { type Listing, listPanel } from './listPanel.js'
import { changed, changeOf } from './pending.js'
import { codeOf } from './words.js'

type Rejected = RejectedRow<ObjectLiteral>

function retry(context: Context, row: Rejected): void {
  const { entity, id, url } = row
  void context.act(async () => {
    await context.journalOf(entity).retry(id, { url })
    return `The next sync pushes ${nameOf(row)} again.`
  })
}

export const rejectedRows: Listing<Rejected> = {
  name: 'rejected',
  title: 'Rejected',
  about: 'The server did not store these rows. Each is pushed again when it was changed, or by Retry.',
  none: 'No row was rejected.',
  list: (journal, options) => journal.rejected(options),
  keyOf: ({ entity, id, url }) => JSON.stringify([entity, id, url]),
  card(row, context) {
    const { id, code, property, detail, holder } = row
    const about = labelOf(row.local, row.base) ?? id
    const isSeen = code !== 'no-access'
    return card({
      ...which(context, row),
      ...{ sides: [row.local, row.base], tags: [changeOf(row), code], why: codeOf(code) },
      body: [
        isSeen && detail !== '' ? h('p', { class: 'detail', dir: 'auto' }, property ? `${property}: ${detail}` : detail) : undefined,
        holder === undefined ? undefined : h('p', { class: 'detail' }, 'The row that has it: ', h('code', {}, holder)),
        changed(context, row),
      ],
      actions: context.isReadOnly
        ? []
        : [
            // what is not seen any more comes back by itself
            ...(isSeen ? [button('Retry', () => retry(context, row), { about })] : []),
            button('Discard', () => discard(context, row), { about, kind: 'quiet' }),
          ],
    })
  },
}

export const rejectedPanel = () => listPanel(rejectedRows)
