import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const folders = new Set<string>()
const kept = new Set<string>()
process.once('exit', () => {
  for (const folder of folders) if (!kept.has(folder)) removeFolder(folder)
})

/** A folder for the databases of a round; it goes with the program at the latest. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sync-processes-'))
  folders.add(folder)
  return folder
}

export function removeFolder(folder: string): void {
  folders.delete(folder)
  rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
}

/** For people to look at what went wrong. */
export function keepFolder(folder: string): void {
  kept.add(folder)
  console.log(`the clients' databases of this round are kept in ${folder}`)
}

/** Where the program is interrupted, what went wrong is the interruption. */
export const keepNothing = () => kept.clear()
