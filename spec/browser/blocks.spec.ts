import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { BLOCK_SIZE, blocksIn, changedBlocks, joinBlocks } from '../../browser/blocks.js'

/** Files as SQLite has them, of pages of 512 bytes, that share much. */
const file = fc
  .array(fc.constantFrom(0, 0, 0, 1, 2), { maxLength: 40 })
  .map(pages => Uint8Array.from(pages.flatMap((value, i) => Array(512).fill(value + (i % 3)))))

/** What a store has after a save: the changed blocks are put, those beyond the end removed. */
function stored(blocks: ReadonlyMap<number, Uint8Array>, length: number, before: ReadonlyMap<number, Uint8Array>) {
  return new Map([...before, ...blocks].filter(([index]) => index < blocksIn(length)))
}

const inOrder = (blocks: ReadonlyMap<number, Uint8Array>) => [...blocks].sort(([a], [b]) => a - b).map(([, block]) => block)

test('what was stored, one save after the other, is the last file', () => {
  fc.assert(
    fc.property(fc.array(file, { minLength: 1, maxLength: 6 }), files => {
      let blocks = new Map<number, Uint8Array>()
      let before = new Uint8Array()
      for (const after of files) {
        blocks = stored(changedBlocks(before, after), after.length, blocks)
        expect(Buffer.compare(joinBlocks(inOrder(blocks), after.length) ?? new Uint8Array([0]), after)).toBe(0)
        before = after
      }
    }),
    { numRuns: 300 },
  )
})

test('only the blocks that differ are stored, as copies', () => {
  const before = new Uint8Array(10 * BLOCK_SIZE)
  const after = before.slice()
  after[3 * BLOCK_SIZE + 5] = 1
  after[7 * BLOCK_SIZE - 1] = 1
  const changed = changedBlocks(before, after)
  expect([...changed.keys()]).toEqual([3, 6])
  // a view would be stored with the whole file that it is a view of
  for (const block of changed.values()) expect(block.buffer.byteLength).toBe(BLOCK_SIZE)
  expect(changedBlocks(before, before.slice()).size).toBe(0)
})

test('blocks that do not make the file are no file', () => {
  const block = new Uint8Array(BLOCK_SIZE)
  expect(joinBlocks([block], 2 * BLOCK_SIZE)).toBeUndefined()
  expect(joinBlocks([block, block], BLOCK_SIZE)).toBeUndefined()
  expect(joinBlocks([block.slice(512)], BLOCK_SIZE)).toBeUndefined()
  expect(joinBlocks([], 0)).toEqual(new Uint8Array())
})
