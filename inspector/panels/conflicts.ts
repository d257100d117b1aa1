// Conflicts: both sides beside each other, and what is to become of them.

import { button, card, compare, which } from '../card.js'
import type { Context } from '../context.js'
import { type Conflict, decide } from '../decide.js'
import { h } from '../dom.js'
import { labelOf, propertiesOf } from '../rows.js'
import { printOf } from '../values.js'
import { nameOf, withChildren } from './discard.js'
import { type Listing, listPanel } from './listPanel.js'
import { count, reasonOf } from './words.js'

type Options = { readonly replaces?: string }

/** Stores a decision, unless the row is another one by now than what was decided about. */
function resolve(context: Context, conflict: Conflict, winner: () => object | null, options: Options = {}): void {
  const { entity, id, url } = conflict
  void context.act(async () => {
    const journal = context.journalOf(entity)
    const value = winner()
    const now = (await journal.conflicts({ url })).find(row => row.id === id)
    if (printOf(now) !== printOf(conflict)) throw new Error(`${nameOf(conflict)} has changed meanwhile. Look at it again.`)
    const isDone = await withChildren(context, children => journal.resolve(id, value, { url, ...options, ...children }))
    return isDone ? `${nameOf(conflict)} is decided. The next sync pushes it.` : undefined
  })
}

async function makeOne(context: Context, conflict: Conflict): Promise<void> {
  const { holder = '' } = conflict
  const answer = await context.ask({
    title: 'Do both rows mean the same?',
    sentences: [
      `Then ${nameOf(conflict)} stays, and the row ${holder} of this device goes. Rows that need that one need the other from then on.`,
      'This cannot be undone as a whole.',
    ],
    confirm: 'Make one of both',
  })
  if (answer) resolve(context, conflict, () => ({}), { replaces: holder })
}

/** What the server's removal of the row would take along. */
function children({ children: rows }: Conflict): HTMLElement | undefined {
  if (!rows.length) return
  const some = rows.slice(0, 10).map(({ entity, id }) => h('li', {}, `${entity} `, h('code', {}, id)))
  return h(
    'details',
    {},
    h('summary', {}, `${count(rows.length, 'row that was changed here goes', 'rows that were changed here go')} with it`),
    h('ul', {}, ...some, rows.length > some.length && h('li', {}, '…')),
  )
}

function actions(context: Context, conflict: Conflict, about: string): HTMLElement {
  const decision = decide(context, conflict)
  const store = () => {
    const missing = decision.missing()
    if (missing.length) {
      context.say(`Choose a side first, for: ${missing.join(', ')}.`, 'bad')
      decision.node.querySelector<HTMLElement>('fieldset:not(:has(:checked)) input[type=radio]')?.focus()
    } else resolve(context, conflict, decision.winner)
  }
  const isOne = conflict.reason === 'not-unique' && conflict.holder !== undefined
  return h(
    'form',
    { submit: event => event.preventDefault() },
    decision.node,
    h(
      'div',
      { class: 'actions' },
      button('Resolve', store, { about, kind: 'main' }),
      button('All local', () => decision.choose('local'), { about, kind: 'quiet' }),
      button('All remote', () => decision.choose('remote'), { about, kind: 'quiet' }),
      isOne && button('Make one of both…', () => void makeOne(context, conflict), { about, kind: 'quiet' }),
    ),
  )
}

const whyOf = ({ reason, local, remote }: Conflict) => {
  if (reason === 'contested' && !remote) return 'The server has removed it, and it was changed here.'
  if (reason === 'contested' && !local) return 'It was removed here, and the server has changed it.'
  return reasonOf(reason)
}

export const conflictRows: Listing<Conflict> = {
  name: 'conflicts',
  title: 'Conflicts',
  about: 'Choose for each property what it is to be. What only one side changed is merged already.',
  none: 'No conflict waits for a decision.',
  list: (journal, options) => journal.conflicts(options),
  keyOf: ({ entity, id, url }) => JSON.stringify([entity, id, url]),
  card(conflict, context) {
    const { entity, id, base, local, remote, properties, reason, holder } = conflict
    const known = propertiesOf(context.dataSource, entity)
    const others = known.filter(({ path }) => !properties.includes(path))
    const sides = { Base: base, Local: local, Remote: remote }
    const merged = local && remote ? compare(others, sides) : undefined
    const about = labelOf(local, remote, base) ?? id
    return card({
      ...which(context, conflict),
      ...{ sides: [local, remote, base], tags: [reason === 'contested' ? undefined : reason], why: whyOf(conflict) },
      body: [
        holder === undefined ? undefined : h('p', { class: 'detail' }, 'The row that has it here: ', h('code', {}, holder)),
        children(conflict),
        context.isReadOnly ? compare(known, sides) : actions(context, conflict, about),
        merged && !context.isReadOnly ? h('details', {}, h('summary', {}, 'What is merged already'), merged) : undefined,
      ],
    })
  },
}

export const conflictsPanel = () => listPanel(conflictRows)
