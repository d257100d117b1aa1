// One tab owns a database. Web Locks say who; a channel tells the owner that another one would like to be it.

import { SyncConfigurationError } from '../src/errors.js'
import { DatabaseInUseError } from './errors.js'

/** Milliseconds in which a page that was left gives up its lock. */
const LEAVING = 500
/** The same for this page, which closes the database as it opens it again, as effects of React do that run twice. */
const CLOSING = 5_000
/** Milliseconds between requests to the owner: the one that was asked may not be it any more. */
const AGAIN = 500
/** Milliseconds after which an owner that does not answer, as a frozen tab, is one no more. */
const UNHEARD = 10_000

const keyOf = (name: string) => `typeorm-sync/${name}`

interface Message {
  /** `leaving`: the owner has heard it, and saves; `kept`: it cannot let go. */
  readonly type: 'take-over' | 'leaving' | 'kept'
}

export interface Ownership {
  /** Called when another tab asks for the database, and releases it; what it throws keeps the database here. Absent until it is open. */
  asked?: () => Promise<void>
  /** Resolves when the database was taken without a word. */
  readonly isStolen: Promise<void>
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
    let stolen = () => {}
    const isStolen = new Promise<void>(resolve => {
      stolen = resolve
    })
    const held = (granted: unknown) => {
      if (!granted) return resolve(undefined)
      isHeld = true
      return new Promise<void>(release => resolve({ release, isStolen }))
    }
    globalThis.navigator.locks.request(keyOf(name), options, held).catch(error => {
      if (isHeld) stolen()
      else if (options.signal?.aborted) resolve(undefined)
      else reject(error)
    })
  })
}

/** How often this page has a database, or is about to have it, by its name. */
const here = new Map<string, number>()
const count = (name: string, more: 1 | -1) => here.set(name, (here.get(name) ?? 0) + more)

/** Throws DatabaseInUseError where another tab has the database, and it is not to be taken over or cannot let go. */
export async function own(name: string, takeOver: boolean): Promise<Ownership> {
  if (!globalThis.navigator?.locks)
    throw new SyncConfigurationError('A database of a browser needs Web Locks, which pages have under https: and on localhost alone.')
  const patience = AbortSignal.timeout(here.get(name) ? CLOSING : LEAVING)
  count(name, 1)
  try {
    const held = (await lock(name, { signal: patience })) ?? (takeOver ? await takeFromOwner(name) : undefined)
    if (held) return listen(name, held)
    throw new DatabaseInUseError(
      `The database ${name} is open in another tab, or by this page itself. Close it there, or open it with takeOver: true.`,
    )
  } catch (error) {
    count(name, -1)
    throw error
  }
}

const post = (channel: BroadcastChannel, type: Message['type']) => channel.postMessage({ type } satisfies Message)

async function takeFromOwner(name: string): Promise<Lock | undefined> {
  const channel = new BroadcastChannel(keyOf(name))
  const end = new AbortController()
  let isKept = false
  const waiting = () => setTimeout(() => end.abort(), UNHEARD)
  let unheard = waiting()
  channel.onmessage = ({ data }: MessageEvent<Message>) => {
    if (data.type === 'kept') {
      isKept = true
      end.abort()
    } else if (data.type === 'leaving') {
      clearTimeout(unheard)
      unheard = waiting()
    }
  }
  const ask = () => post(channel, 'take-over')
  const asking = setInterval(ask, AGAIN)
  try {
    ask()
    const held = await lock(name, { signal: end.signal })
    if (!held && isKept)
      throw new DatabaseInUseError(
        `The tab that has the database ${name} open cannot save what was written there, or has a transaction open, and keeps it. Look there, and try again.`,
      )
    return held ?? (await lock(name, { steal: true }))
  } finally {
    clearInterval(asking)
    clearTimeout(unheard)
    channel.close()
  }
}

function listen(name: string, { release, isStolen }: Lock): Ownership {
  const channel = new BroadcastChannel(keyOf(name))
  let isLeaving = false
  let isOver = false
  const end = () => {
    if (!isOver) count(name, -1)
    isOver = true
    channel.close()
  }
  const ownership: Ownership = {
    isStolen,
    release() {
      end()
      release()
    },
  }
  channel.onmessage = async ({ data }: MessageEvent<Message>) => {
    if (data.type !== 'take-over' || !ownership.asked) return
    post(channel, 'leaving')
    if (isLeaving) return
    isLeaving = true
    try {
      await ownership.asked()
    } catch {
      isLeaving = false
      post(channel, 'kept')
    }
  }
  isStolen.then(end)
  return ownership
}
