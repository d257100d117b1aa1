// The end of `npm run build`: the declarations that a user's compiler reads, in both forms of the package, and what kind of modules each holds.

import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

const ALL = 'dist/types'
const ENTRIES = ['src/index.d.ts', 'server-koa/index.d.ts']

/** Those to which an entry leads; no program outside can import the others. */
function reachable() {
  const files = new Set(ENTRIES)
  for (const file of files) {
    const text = readFileSync(join(ALL, file), 'utf8')
    for (const [, name] of text.matchAll(/(?:from|import|import\()\s*['"](\.[^'"]+)\.js['"]/g))
      files.add(join(dirname(file), `${name}.d.ts`))
  }
  return files
}

for (const [form, type] of [
  ['esm', 'module'],
  ['cjs', 'commonjs'],
]) {
  for (const file of reachable()) {
    mkdirSync(dirname(join('dist', form, file)), { recursive: true })
    copyFileSync(join(ALL, file), join('dist', form, file))
  }
  writeFileSync(join('dist', form, 'package.json'), JSON.stringify({ type, sideEffects: false }))
}
rmSync(ALL, { recursive: true })
