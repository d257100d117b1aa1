// The transactions of IndexedDB, in one that lives in memory; spec/chromium has them in a browser that is killed.

import 'fake-indexeddb/auto'
import { afterEach, expect, jest, test } from '@jest/globals'
import { openDB } from 'idb'
import { BlockStore } from '../../browser/blockStore.js'
import { BLOCK_SIZE } from '../../browser/blocks.js'

// Node 20 has none
globalThis.navigator ??= {} as Navigator

let number = 0
const open: BlockStore[] = []
const store = (name: string) => {
  const made = new BlockStore(name)
  open.push(made)
  return made
}
const newName = () => `store ${++number}`
afterEach(() => Promise.all(open.splice(0).map(each => each.close())))

const block = (value: number) => new Uint8Array(BLOCK_SIZE).fill(value)
const write = (length: number, blocks: [number, Uint8Array][]) => ({ length: length * BLOCK_SIZE, blocks: new Map(blocks), isStrict: true })
/** The first byte of each block. */
const firsts = (file: Uint8Array) => Array.from({ length: file.length / BLOCK_SIZE }, (_, i) => file[i * BLOCK_SIZE])

test('what was written is read by the next one who opens it', async () => {
  const name = newName()
  const first = store(name)
  expect(await first.claim(undefined)).toEqual(new Uint8Array())
  await first.write(
    write(3, [
      [0, block(1)],
      [1, block(2)],
      [2, block(3)],
    ]),
  )
  await first.write(write(2, [[1, block(5)]]))
  expect(firsts(await store(name).claim(undefined))).toEqual([1, 5])
})

test('who has lost it writes nothing more', async () => {
  const name = newName()
  const [first, second] = [store(name), store(name)]
  await first.claim(undefined)
  await first.write(write(1, [[0, block(1)]]))
  expect(firsts(await second.claim(undefined))).toEqual([1])
  await expect(
    first.write(
      write(2, [
        [0, block(7)],
        [1, block(7)],
      ]),
    ),
  ).rejects.toMatchObject({ code: 'database-taken-over' })
  await second.write(
    write(2, [
      [0, block(2)],
      [1, block(3)],
    ]),
  )
  expect(firsts(await store(name).claim(undefined))).toEqual([2, 3])
})

test('who has lost it does not bring it back when it was removed', async () => {
  const name = newName()
  const [first, second] = [store(name), store(name)]
  await first.claim(undefined)
  await second.claim(undefined)
  await second.remove()
  await expect(first.write(write(1, [[0, block(7)]]))).rejects.toMatchObject({ code: 'database-taken-over' })
  expect(await store(name).claim(undefined)).toEqual(new Uint8Array())
})

test('a write that fails leaves all as it was', async () => {
  const name = newName()
  const first = store(name)
  await first.claim(undefined)
  await first.write(
    write(2, [
      [0, block(1)],
      [1, block(2)],
    ]),
  )
  const spoilt = (() => {}) as unknown as Uint8Array // cannot be stored
  await expect(
    first.write(
      write(2, [
        [0, block(7)],
        [1, spoilt],
      ]),
    ),
  ).rejects.toMatchObject({ code: 'database-failed' })
  expect(firsts(await store(name).claim(undefined))).toEqual([1, 2])
})

test('another user does not open it, and the one before is the owner still', async () => {
  const name = newName()
  const [alice, bob] = [store(name), store(name)]
  await alice.claim('alice')
  await alice.write(write(1, [[0, block(1)]]))
  await expect(bob.claim('bob')).rejects.toMatchObject({ code: 'other-owner', user: 'alice' })
  await expect(bob.claim(undefined)).rejects.toMatchObject({ code: 'other-owner' })
  await alice.write(write(1, [[0, block(2)]]))
  await alice.assign('bob')
  await expect(store(name).claim('alice')).rejects.toMatchObject({ code: 'other-owner', user: 'bob' })
  expect(firsts(await bob.claim('bob'))).toEqual([2])
})

test('one that does not open is tried again', async () => {
  const first = store(newName())
  const { open } = indexedDB
  indexedDB.open = () => {
    throw new DOMException('Not now.', 'UnknownError')
  }
  try {
    await expect(first.claim(undefined)).rejects.toMatchObject({ code: 'database-failed' })
  } finally {
    indexedDB.open = open
  }
  expect(await first.claim(undefined)).toEqual(new Uint8Array())
})

test('where the browser has dropped what was there, that is said', async () => {
  const [whole, lost] = [store(newName()), store(newName())]
  await whole.claim(undefined)
  expect(whole.lost).toBeUndefined()
  const { open } = indexedDB
  // what Chromium adds to the event
  const loss = { dataLoss: 'total', dataLossMessage: 'checksum mismatch' }
  indexedDB.open = (...parameters) => {
    const request = open.apply(indexedDB, parameters)
    request.addEventListener('upgradeneeded', event => Object.assign(event, loss))
    return request
  }
  try {
    await lost.claim(undefined)
  } finally {
    indexedDB.open = open
  }
  expect(lost.lost).toBe('checksum mismatch')
})

test('it is emptied where a tab that is frozen has it open still', async () => {
  const name = newName()
  const first = store(name)
  await first.claim(undefined)
  await first.write(write(1, [[0, block(1)]]))
  const frozen = await openDB(`typeorm-sync/${name}`, 1)
  await first.remove()
  expect(await frozen.getAll('blocks')).toEqual([])
  frozen.close()
})

test('it is removed where there is no room even to empty it', async () => {
  const name = newName()
  const full = store(name)
  await full.claim(undefined)
  await full.write(write(1, [[0, block(1)]]))
  const put = jest.spyOn(IDBObjectStore.prototype, 'put').mockImplementation(() => {
    throw new DOMException('There is no room.', 'QuotaExceededError')
  })
  try {
    await expect(full.write(write(1, [[0, block(2)]]))).rejects.toMatchObject({ code: 'storage-full' })
    await full.remove()
  } finally {
    put.mockRestore()
  }
  expect((await indexedDB.databases()).map(d => d.name)).not.toContainEqual(expect.stringContaining(name))
  expect(await store(name).claim(undefined)).toEqual(new Uint8Array())
})

test('a file of which a block is missing is an error', async () => {
  const name = newName()
  const first = store(name)
  await first.claim(undefined)
  await first.write(
    write(2, [
      [0, block(1)],
      [1, block(2)],
    ]),
  )
  const raw = await openDB(`typeorm-sync/${name}`, 1)
  await raw.delete('blocks', 1)
  raw.close()
  await expect(store(name).claim(undefined)).rejects.toThrow(/is not whole: 1 blocks for 8192 bytes/)
})
