// What `npm start` says of requests, reports and rows.

import type { SyncReport } from 'typeorm-sync'
import type { Seen } from './device.js'
import { count, paint } from './terminal.js'

export function requestLine(name: string, { method, url, rowsUp, rowsDown, status, bytesUp, bytesDown, replayed }: Seen): string {
  const since = url.searchParams.get('since')
  const path = `${url.pathname}${since === null ? '' : `?since=${since}`}${url.searchParams.size > 1 ? '&…' : ''}`
  const up = rowsUp ? `${count(rowsUp, 'row')} up` : ''
  const down = rowsDown ? `${count(rowsDown, 'row')} down` : ''
  const rows = [up, down].filter(Boolean).join(', ')
  const answer = status === 0 ? 'no answer' : `${status}${replayed ? ' (replayed)' : ''}`
  return paint(
    'dim',
    `   ${name.padEnd(6)}${method.padEnd(5)}${path.padEnd(38)}${answer.padEnd(15)}${rows.padEnd(12)}${`${bytesUp} B up, ${bytesDown} B down`.padStart(20)}`.trimEnd(),
  )
}

export function reportLine(name: string, { pulled, pushed, merged, conflicts, unapplied, rejected, heldBack }: SyncReport): string {
  const done = Object.entries({ pulled, pushed, merged, conflicts, unapplied, rejected, heldBack }).filter(([, n]) => n > 0)
  return `   ${name.padEnd(6)}${done.map(([what, n]) => `${what} ${n}`).join(', ') || 'nothing to pull or push'}`
}

export const taskText = (task: { name?: string } | null) => (task ? `"${task.name}"` : 'removed')
