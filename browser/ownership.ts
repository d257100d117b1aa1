// One tab owns a database. Web Locks say who; a channel tells the owner that another one would like to be it.

import { DatabaseInUseError, SyncConfigurationError } from '../src/errors.js'

/** Milliseconds in which a page that was left gives up its lock. */
const LEAVING = 500
/** Milliseconds between requests to the owner: the one that was asked may not be it any more. */
const AGAIN = 500
/** Milliseconds after which an owner that does not answer, as a frozen tab, is one no more. */
const UNHEARD = 10_000

const keyOf = (name: string) => `typeorm-sync/${name}`

interface Message {
  /** `kept`: the owner cannot let go, for what it has written cannot be saved. */
  readonly type: 'take-over' | 'kept'
}

export interface Ownership {
  /** Called when another tab asks for the database; what it throws keeps the database here. */
  asked: () => Promise<void>
  /** Called when the database was taken without a word. */
  stolen: () => void
  release(): void
}

interface Lock {
  readonly release: () => void
  readonly isStolen: Promise<void>
}

/** Undefined where the lock is not to be had, by these options. */
function lock(name: string, options: LockOptions): Promise<Lock | undefined> {
  return new Promise((resolve, reject) => {
    let isHeld = false
    let tellStolen = () => {}
    const isStolen = new Promise<void>(tell => {
      tellStolen = tell
    })
    const held = (granted: unknown) => {
      if (!granted) return resolve(undefined)
      isHeld = true
      return new Promise<void>(release => resolve({ release, isStolen }))
    }
    globalThis.navigator.locks.request(keyOf(name), options, held).catch(error => {
      if (isHeld) tellStolen()
      else if (options.signal?.aborted) resolve(undefined)
      else reject(error)
    })
  })
}

const lockWithin = (name: string, milliseconds: number) => lock(name, { signal: AbortSignal.timeout(milliseconds) })

/** Throws DatabaseInUseError where another tab has the database, and it is not to be taken over or cannot let go. */
export async function own(name: string, takeOver: boolean): Promise<Ownership> {
  if (!globalThis.navigator?.locks)
    throw new SyncConfigurationError('A database of a browser needs Web Locks, which pages have under https: and on localhost alone.')
  const held = (await lockWithin(name, LEAVING)) ?? (takeOver ? await takeFromOwner(name) : undefined)
  if (!held)
    throw new DatabaseInUseError(
      `The database ${name} is open in another tab, or by this page itself. Close it there, or open it with takeOver: true.`,
    )
  return listen(name, held)
}

async function takeFromOwner(name: string): Promise<Lock | undefined> {
  const channel = new BroadcastChannel(keyOf(name))
  const kept = new AbortController()
  channel.onmessage = ({ data }: MessageEvent<Message>) => {
    if (data.type === 'kept') kept.abort()
  }
  const ask = () => channel.postMessage({ type: 'take-over' } satisfies Message)
  const asking = setInterval(ask, AGAIN)
  try {
    ask()
    const held = await lock(name, { signal: AbortSignal.any([kept.signal, AbortSignal.timeout(UNHEARD)]) })
    if (!held && kept.signal.aborted)
      throw new DatabaseInUseError(
        `The tab that has the database ${name} open cannot save what was written there, and keeps it. Look there what is wrong.`,
      )
    return held ?? (await lock(name, { steal: true }))
  } finally {
    clearInterval(asking)
    channel.close()
  }
}

function listen(name: string, { release, isStolen }: Lock): Ownership {
  const channel = new BroadcastChannel(keyOf(name))
  let isLeaving = false
  const ownership: Ownership = {
    asked: async () => {},
    stolen: () => {},
    release() {
      channel.close()
      release()
    },
  }
  channel.onmessage = async ({ data }: MessageEvent<Message>) => {
    if (data.type !== 'take-over' || isLeaving) return
    isLeaving = true
    try {
      await ownership.asked()
    } catch {
      isLeaving = false
      channel.postMessage({ type: 'kept' } satisfies Message)
    }
  }
  isStolen.then(() => {
    channel.close()
    ownership.stolen()
  })
  return ownership
}
