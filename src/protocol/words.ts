// Words that the checks of both sides have in common.

import type { Reset, WireRow } from './messages.js'

// what a prototype has was not sent
export const own = <T>(object: Record<string, T>, name: string): T | undefined => (Object.hasOwn(object, name) ? object[name] : undefined)

export const isObject = (value: unknown): value is WireRow => typeof value === 'object' && value !== null && !Array.isArray(value)
export const isStamp = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0
export const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''

const LONGEST_SCOPE = 100

/** What a client may say of the set of keys that it holds: the name of one, or nothing, for none. */
export const isHeldScope = (value: unknown): value is string => typeof value === 'string' && value.length <= LONGEST_SCOPE
/** The name of a set of keys. */
export const isScope = (value: unknown): value is string => isText(value) && isHeldScope(value)

export const isTexts = (value: unknown): value is string[] => Array.isArray(value) && value.every(text => typeof text === 'string')
export const isBoolean = (value: unknown): value is boolean => typeof value === 'boolean'

const RESETS: ReadonlySet<unknown> = new Set<Reset>(['collection-changed', 'since-too-old', 'scope-unknown', 'scope-changed'])

export const isReset = (value: unknown): value is Reset => RESETS.has(value)
export const isStaleReset = (value: unknown): value is Reset | 'other-user' => isReset(value) || value === 'other-user'
