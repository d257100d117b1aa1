// A request, and the answer that is being made.

import type { Readable } from 'node:stream'
import type { SyncRequest, SyncResponse } from './request.js'

export const JSON_TYPE = 'application/json; charset=utf-8'

/** Tells the application of an error that is no answer. */
export type OnError = (error: unknown, request: SyncRequest) => void

export class Exchange implements SyncResponse {
  status = 200
  readonly headers: Record<string, string> = {}
  body?: string | Readable
  idleTimeout?: number
  endTimeout?: number

  constructor(
    readonly request: SyncRequest,
    private readonly onError: OnError,
  ) {}

  get method(): string {
    return this.request.method
  }

  get query(): SyncRequest['query'] {
    return this.request.query
  }

  /** A header of the request, empty where it did not come. */
  get(name: string): string {
    return [this.request.headers[name.toLowerCase()] ?? []].flat().join(', ')
  }

  set(headers: Readonly<Record<string, string>>): void {
    Object.assign(this.headers, headers)
  }

  vary(...names: string[]): void {
    this.set({ Vary: joinLists(this.headers.Vary, names.join(', ')) })
  }

  /** An answer that is written while it is sent. */
  stream(body: Readable): void {
    // what others do to it when the client has left is no failure
    body.once('error', error => this.request.signal.aborted || this.report(error))
    this.body = body
  }

  report(error: unknown): void {
    this.onError(error, this.request)
  }
}

/** Joins two lists as headers have them; names that are in both are there once, and what says everything says it. */
export function joinLists(first: string | undefined, second: string): string {
  const known = (first ?? '').split(',').flatMap(name => name.trim() || [])
  if (known.includes('*')) return known.join(', ')
  const isKnown = (name: string) => known.some(k => k.toLowerCase() === name.toLowerCase())
  return [...known, ...second.split(', ').filter(name => !isKnown(name))].join(', ')
}
