// A value of one's own: how it is typed, by what the sides hold.

import type { ObjectLiteral } from 'typeorm'
import { h } from './dom.js'
import { isReference, type Property } from './rows.js'
import { kindOf, textOf } from './values.js'

export interface OwnValue {
  readonly node: HTMLElement
  /** Throws an error that says what is wrong with what was typed. */
  read(): unknown
}

/** Undefined where such a value cannot be typed: bytes. */
export function ownValue(property: Property, sides: readonly unknown[], changed: () => void): OwnValue | undefined {
  const sample = sides.find(side => side !== null && side !== undefined)
  const kind = kindOf(sample)
  if (kind === 'bytes') return
  const label = `Own value of ${property.path}`
  const field = fieldFor(property, sample, label, changed)
  if (!property.isNullable) return field
  const none = h('input', { type: 'checkbox', change: () => toggle() })
  const toggle = () => {
    field.node.hidden = none.checked
    changed()
  }
  return {
    node: h('div', { class: 'own' }, field.node, h('label', { class: 'none' }, none, h('span', {}, 'null'))),
    read: () => (none.checked ? null : field.read()),
  }
}

function fieldFor(property: Property, sample: unknown, label: string, changed: () => void): OwnValue {
  if (typeof sample === 'boolean') {
    const select = h('select', { 'aria-label': label, change: changed }, h('option', {}, 'true'), h('option', {}, 'false'))
    select.value = String(sample)
    return { node: select, read: () => select.value === 'true' }
  }
  const [text, parse] = writtenAs(property, sample)
  const isLong = text.includes('\n') || text.length > 40
  const properties = { 'aria-label': label, input: changed, spellcheck: 'false', autocomplete: 'off' }
  const input = isLong ? h('textarea', { ...properties, rows: 4 }) : h('input', { ...properties, type: 'text' })
  input.value = text
  return { node: input, read: () => parse(input.value) }
}

type Parse = (text: string) => unknown

/** The text of a value, and what a text of that kind means. */
function writtenAs(property: Property, sample: unknown): [text: string, parse: Parse] {
  const fail = (what: string): never => {
    throw new Error(`The own value of ${property.path} has to be ${what}.`)
  }
  if (isReference(property, sample)) {
    const key = property.key as string
    return [String((sample as ObjectLiteral)[key]), text => ({ [key]: text })]
  }
  if (typeof sample === 'number')
    return [String(sample), text => (text.trim() && !Number.isNaN(Number(text)) ? Number(text) : fail('a number'))]
  if (sample instanceof Date) {
    const read: Parse = text => (Number.isNaN(Date.parse(text)) ? fail('a date, as 2026-11-29 15:00:00.000Z') : new Date(text))
    return [textOf(sample), read]
  }
  if (kindOf(sample) === 'json') {
    const read: Parse = text => {
      try {
        return JSON.parse(text)
      } catch {
        return fail('JSON')
      }
    }
    return [textOf(sample), read]
  }
  return [typeof sample === 'string' ? sample : '', text => text]
}
