// The blocks of a database in IndexedDB. Each transaction there is all or nothing, also where the tab or the browser is killed in it.

import { type DBSchema, deleteDB, type IDBPDatabase, openDB } from 'idb'
import { delay } from '../src/databases/schemaChanges.js'
import { DatabaseFailedError, DatabaseTakenOverError, SyncError } from '../src/errors.js'
import { blocksIn, joinBlocks } from './blocks.js'
import { OtherOwnerError, StorageFullError } from './errors.js'

interface Schema extends DBSchema {
  blocks: { key: number; value: Uint8Array }
  file: { key: 'file'; value: File }
}

interface File {
  readonly length: number
  /** Who may write: the one that has opened it last. */
  readonly owner: string
  /** Whose rows these are, as the application names them. */
  readonly user: string | undefined
}

type Open = IDBPDatabase<Schema>

/** Milliseconds that a removal waits for tabs which have lost the database and have it open still. */
const REMOVAL = 2_000

/** Of the database of that name, in IndexedDB. */
const keptAs = (name: string) => `typeorm-sync/${name}`

const taken = (name: string) =>
  new DatabaseTakenOverError(
    `Another tab has taken the database ${name} over, or it was removed. This tab writes to it no more: load the page anew.`,
  )

function abort(transaction: { abort(): void }): void {
  try {
    transaction.abort()
  } catch {
    // it has failed by itself
  }
}

export interface Written {
  readonly length: number
  readonly blocks: ReadonlyMap<number, Uint8Array>
  readonly isStrict: boolean
}

export class BlockStore {
  readonly #owner = globalThis.crypto.randomUUID()
  #open: Promise<Open> | undefined
  #user: string | undefined
  /** Why the browser has dropped what was there, and begun anew; undefined where it has not. */
  lost: string | undefined

  constructor(private readonly name: string) {}

  /**
   * Makes this the one that may write, and reads the file: what an earlier owner writes later is rejected. Empty where there is none. Throws
   * OtherOwnerError where it is another user's.
   */
  async claim(user: string | undefined): Promise<Uint8Array> {
    return this.#explained(async () => {
      const transaction = (await this.#opened()).transaction(['blocks', 'file'], 'readwrite', { durability: 'strict' })
      const file = await transaction.objectStore('file').get('file')
      this.#check(file, user)
      const length = file?.length ?? 0
      const blocks = await transaction.objectStore('blocks').getAll()
      this.#user = user
      await transaction.objectStore('file').put({ length, owner: this.#owner, user }, 'file')
      await transaction.done
      const bytes = joinBlocks(blocks, length)
      if (!bytes) throw new DatabaseFailedError(`The database ${this.name} is not whole: ${blocks.length} blocks for ${length} bytes.`)
      return bytes
    })
  }

  /** Throws OtherOwnerError where it is another user's. */
  async check(user: string | undefined): Promise<void> {
    await this.#explained(async () => this.#check(await (await this.#opened()).get('file', 'file'), user))
  }

  #check(file: File | undefined, user: string | undefined): void {
    if (file?.user !== undefined && file.user !== user) throw new OtherOwnerError(this.name, file.user)
  }

  /** Makes it another user's. Throws DatabaseTakenOverError where this is not the owner any more. */
  async assign(user: string): Promise<void> {
    await this.#explained(async () => {
      const transaction = (await this.#opened()).transaction('file', 'readwrite', { durability: 'strict' })
      this.#user = user
      const file = await transaction.store.get('file')
      if (file?.owner !== this.#owner) throw taken(this.name)
      await transaction.store.put({ ...file, user }, 'file')
      await transaction.done
    })
  }

  /** Stores the blocks that have changed, all of them or none. Throws DatabaseTakenOverError where this is not the owner any more, StorageFullError. */
  async write({ length, blocks, isStrict }: Written): Promise<void> {
    await this.#explained(async () => {
      const transaction = (await this.#opened()).transaction(['blocks', 'file'], 'readwrite', {
        durability: isStrict ? 'strict' : 'relaxed',
      })
      const [store, files] = [transaction.objectStore('blocks'), transaction.objectStore('file')]
      const requests: Promise<unknown>[] = []
      // all is asked for at once: a page that is being left has no time for another turn
      try {
        requests.push(
          files.get('file').then(file => {
            if (file?.owner !== this.#owner) throw taken(this.name)
          }),
        )
        for (const [index, block] of blocks) requests.push(store.put(block, index))
        requests.push(store.delete(IDBKeyRange.lowerBound(blocksIn(length))))
        requests.push(files.put({ length, owner: this.#owner, user: this.#user }, 'file'))
        await Promise.all(requests)
      } catch (error) {
        // what was asked for before would be stored
        abort(transaction)
        for (const request of requests) request.catch(() => {})
        const why = await transaction.done.catch(reason => reason)
        throw (error as Error)?.name === 'AbortError' ? why : error
      }
      await transaction.done
    })
  }

  async close(): Promise<void> {
    const open = this.#open
    this.#open = undefined
    ;(await open?.catch(() => undefined))?.close()
  }

  /** Removes all of it. */
  async remove(): Promise<void> {
    await this.#explained(async () => {
      // where there is no room, even this may find none; to delete needs none
      await this.write({ length: 0, blocks: new Map(), isStrict: true }).catch(error => {
        if (!(error instanceof StorageFullError)) throw error
      })
      await this.close()
      // a tab that is frozen keeps it open, and what is empty there, until it wakes up
      await Promise.race([deleteDB(keptAs(this.name)), delay(REMOVAL)])
    })
  }

  #opened(): Promise<Open> {
    this.#open ??= openDB<Schema>(keptAs(this.name), 1, {
      upgrade: (database, _from, _to, _transaction, event) => {
        database.createObjectStore('blocks')
        database.createObjectStore('file')
        // Chromium alone says so
        const { dataLoss, dataLossMessage } = event as { dataLoss?: string; dataLossMessage?: string }
        if (dataLoss === 'total') this.lost = dataLossMessage || 'unknown'
      },
      // somebody removes it, or the browser closed it: the next transaction opens it anew, and finds out
      blocking: () => void this.close(),
      terminated: () => void this.close(),
    }).catch(error => {
      this.#open = undefined
      throw error
    })
    return this.#open
  }

  async #explained<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (error instanceof SyncError) throw error
      if ((error as Error)?.name === 'QuotaExceededError') throw new StorageFullError(await this.#howFull(), { cause: error })
      throw new DatabaseFailedError(
        `The browser could not read or store the database ${this.name}: ${String(error)}. What is in memory is saved by the next save.`,
        { cause: error },
      )
    }
  }

  async #howFull(): Promise<string> {
    const { usage, quota } = (await globalThis.navigator.storage?.estimate?.()) ?? {}
    const megabytes = (bytes = 0) => `${(bytes / 1e6).toFixed(1)} MB`
    const used = quota ? ` ${megabytes(usage)} of ${megabytes(quota)} are used.` : ''
    return `The browser gives the database ${this.name} no more room.${used} What was written since the last save is in memory alone: free some room, then call flush().`
  }
}
