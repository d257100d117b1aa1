// The form in which a conflict is decided, property by property, or, where a side has no row, as a whole.

import type { ObjectLiteral } from 'typeorm'
import type { UnresolvedConflict } from '../src/index.js'
import { compare } from './card.js'
import type { Context } from './context.js'
import { h } from './dom.js'
import { type OwnValue, ownValue } from './own.js'
import { type Property, propertiesOf, type Row, showAt, valueAt } from './rows.js'

export type Conflict = UnresolvedConflict<ObjectLiteral>

export type Choice = 'local' | 'remote' | 'own'

export interface Decision {
  readonly node: HTMLElement
  /** Chooses one side for everything. */
  choose(side: 'local' | 'remote'): void
  /** What nobody has decided yet. */
  missing(): string[]
  /** What `resolve` is given. Throws where what was typed is no such value. */
  winner(): ObjectLiteral | null
}

const SIDES = {
  base: ['Base', 'before'],
  local: ['Local', 'this device'],
  remote: ['Remote', 'server'],
  own: ['Own', 'value'],
} as const

let forms = 0

/** A side: with `name` it can be chosen. */
function tile(side: keyof typeof SIDES, name: string | undefined, ...content: (Node | undefined)[]): HTMLElement {
  const [title, where] = SIDES[side]
  const said = [h('b', {}, title), h('span', { class: 'where' }, where)]
  if (name === undefined) return h('div', { class: `tile ${side}` }, h('div', { class: 'side' }, ...said), ...content)
  const radio = h('input', { type: 'radio', name, value: side })
  // the whole of it, for who points; what is in there keeps its own clicks
  const point = ({ target }: Event) => {
    if (!(target as Element).closest('input, select, textarea, summary, [role=group]')) radio.checked = true
  }
  return h('div', { class: `tile ${side}`, click: point }, h('label', { class: 'side' }, radio, ...said), ...content)
}

const choices = (title: string, ...tiles: (Node | undefined)[]) =>
  h('fieldset', { class: 'property' }, h('legend', {}, title), h('div', { class: 'tiles' }, ...tiles))

const chosenIn = (node: HTMLElement) => node.querySelector<HTMLInputElement>('input[type=radio]:checked')?.value as Choice | undefined

function choose(node: HTMLElement, side: Choice): void {
  const radio = node.querySelector<HTMLInputElement>(`input[type=radio][value=${side}]`)
  if (radio) radio.checked = true
}

/** Of a row that one side has removed: the row, or its removal. */
function decideWhole({ dataSource }: Context, { entity, local, remote, base }: Conflict): Decision {
  const name = `choice${++forms}`
  const properties = propertiesOf(dataSource, entity)
  const whole = (row: Row, none: string) =>
    (row && compare(properties, { Value: row })) ?? h('span', { class: 'value word' }, row ? 'a row' : none)
  const node = choices(
    'The row',
    tile('base', undefined, whole(base, base === null ? 'no row' : 'not known')),
    tile('local', name, whole(local, 'removed')),
    tile('remote', name, whole(remote, 'removed')),
  )
  return {
    node,
    choose: side => choose(node, side),
    missing: () => (chosenIn(node) ? [] : ['the row']),
    // the side that is there is stored as it is
    winner: () => ((chosenIn(node) === 'local' ? local : remote) ? {} : null),
  }
}

interface DecidedProperty {
  readonly property: Property
  readonly node: HTMLElement
  readonly own: OwnValue | undefined
}

function decideProperty(property: Property, { base, local, remote }: Conflict): DecidedProperty {
  const { path } = property
  const name = `choice${++forms}`
  const sides = [local, remote, base].map(row => valueAt(row, property))
  const own = ownValue(property, sides, () => choose(node, 'own'))
  const node = choices(
    path,
    tile('base', undefined, showAt(base, property)),
    tile('local', name, showAt(local, property)),
    tile('remote', name, showAt(remote, property)),
    own && tile('own', name, own.node),
  )
  return { property, node, own }
}

function decideProperties({ dataSource }: Context, conflict: Conflict): Decision {
  const { local, remote } = conflict
  const decided = propertiesOf(dataSource, conflict.entity)
    .filter(({ path }) => conflict.properties.includes(path))
    .map(property => decideProperty(property, conflict))
  const decidedValue = ({ property, node, own }: DecidedProperty) => {
    const choice = chosenIn(node)
    return choice === 'own' ? own?.read() : valueAt(choice === 'local' ? local : remote, property)
  }
  return {
    node: h('div', { class: 'properties' }, ...decided.map(({ node }) => node)),
    choose(side) {
      for (const { node } of decided) choose(node, side)
    },
    missing: () => decided.filter(({ node }) => !chosenIn(node)).map(({ property }) => property.path),
    winner() {
      const winner = {}
      for (const each of decided) each.property.write(winner, decidedValue(each))
      return winner
    },
  }
}

export const decide = (context: Context, conflict: Conflict): Decision =>
  conflict.local && conflict.remote ? decideProperties(context, conflict) : decideWhole(context, conflict)
