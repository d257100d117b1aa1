import type { KeptState, KeptStatus, KeptSynced } from 'typeorm-sync'
import { useSyncStatus } from 'typeorm-sync/react'

const TEXTS: Record<KeptState, string> = {
  idle: 'Synced',
  syncing: 'Syncing',
  offline: 'Offline',
  'signed-out': 'Signed out',
  failed: 'Failed',
}

function textOf({ state, isLive, lastError }: KeptStatus): string {
  if (state === 'syncing' && lastError) return 'Trying again'
  return isLive && (state === 'idle' || state === 'syncing') ? 'Live' : TEXTS[state]
}

export function StatusDot({ kept }: { kept: KeptSynced }) {
  const status = useSyncStatus(kept)
  return (
    <span className="status" data-state={status.lastError ? 'offline' : status.state} role="status">
      {textOf(status)}
    </span>
  )
}

const countOf = (n: number, one: string, many = `${one}s`) => (n ? `${n} ${n === 1 ? one : many}` : undefined)

interface Props {
  readonly kept: KeptSynced
  readonly onSignIn: () => void
  readonly onInspect: () => void
}

export function StatusBar({ kept, onSignIn, onInspect }: Props) {
  const { pending, rejected, deferred, lastSuccess, lastError, state } = useSyncStatus(kept)
  const facts = [
    countOf(pending, 'change to push', 'changes to push') ?? 'Nothing to push',
    countOf(rejected, 'rejected', 'rejected'),
    countOf(deferred, 'deferred', 'deferred'),
    lastSuccess && `last sync ${lastSuccess.toLocaleTimeString('en', { timeStyle: 'short', hourCycle: 'h23' })}`,
  ]
  return (
    <footer className="bar">
      <p>{facts.filter(Boolean).join(' · ')}</p>
      {state === 'failed' && <p role="alert">{String(lastError)}</p>}
      {state === 'signed-out' && (
        <button type="button" onClick={onSignIn}>
          Sign in again
        </button>
      )}
      <button type="button" className="quiet" onClick={onInspect}>
        Inspector
      </button>
    </footer>
  )
}
