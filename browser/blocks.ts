// A database file in blocks: which of them differ, and the file that they make.

/** Bytes of a block, as many as a page of SQLite has: what a statement changes are pages. */
export const BLOCK_SIZE = 4096

export const blocksIn = (length: number) => Math.ceil(length / BLOCK_SIZE)

/** A block of a file, as a copy: what stores a view stores all that it is a view of. */
const blockOf = (file: Uint8Array, index: number) => file.slice(index * BLOCK_SIZE, (index + 1) * BLOCK_SIZE)

const wordsOf = (file: Uint8Array) => new Int32Array(file.buffer, file.byteOffset, file.byteLength >> 2)

/** The blocks of `after` that `before` has not, by their index. Both are pages of SQLite: a file has 512 bytes, or a multiple of them. */
export function changedBlocks(before: Uint8Array, after: Uint8Array): Map<number, Uint8Array> {
  const changed = new Map<number, Uint8Array>()
  const [old, words] = [wordsOf(before), wordsOf(after)]
  const size = BLOCK_SIZE >> 2
  for (let index = 0, start = 0; start < words.length; index++, start += size) {
    const end = Math.min(start + size, words.length)
    let same = start
    while (same < end && words[same] === old[same]) same++
    // the last one may have got another length
    if (same < end || (end === words.length && old.length !== end)) changed.set(index, blockOf(after, index))
  }
  return changed
}

/** The file that these blocks make; undefined where one is missing. */
export function joinBlocks(blocks: readonly Uint8Array[], length: number): Uint8Array | undefined {
  if (blocks.length !== blocksIn(length)) return
  const file = new Uint8Array(length)
  let at = 0
  for (const block of blocks) {
    if (block.length !== Math.min(BLOCK_SIZE, length - at)) return
    file.set(block, at)
    at += block.length
  }
  return file
}
