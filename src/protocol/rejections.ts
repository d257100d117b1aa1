// The rejected rows of an answer.

import type { Rejection } from './messages.js'
import { idOf } from './updates.js'
import { isObject, own } from './words.js'

/** The rejected rows of a 422; undefined where it names none, and so is about something else. */
export function readRejections(body: unknown): Rejection<string>[] | undefined {
  const errors = isObject(body) ? own(body, 'errors') : undefined
  if (!Array.isArray(errors) || errors.length === 0) return
  const rejections = errors.map(readRejection)
  return rejections.every(rejection => rejection !== undefined) ? rejections : undefined
}

function readRejection(error: unknown): Rejection<string> | undefined {
  const id = isObject(error) ? idOf(error) : undefined
  if (!isObject(error) || id === undefined) return
  const [collection, property, code, detail] = ['collection', 'property', 'code', 'detail'].map(name => own(error, name))
  return {
    ...(typeof collection === 'string' && { collection }),
    id,
    ...(typeof property === 'string' && { property }),
    code: typeof code === 'string' ? code : 'not-valid',
    detail: typeof detail === 'string' ? detail : '',
  }
}
