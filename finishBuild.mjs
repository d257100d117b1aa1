// The end of `npm run build`: the declarations that a user's compiler reads, in both forms of the package, and what kind of modules each holds.
// Scripts are printed anew: the ES modules with less white space, a line for each statement; the others, which are there once more, as small as can be.

import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { transformSync } from 'esbuild'

const ALL = 'dist/types'
/** What a bundler keeps though nothing of it is used: it defines the element. */
const SIDE_EFFECTS = ['./inspector/index.js']
const ENTRIES = ['src', 'src/react', 'browser', 'inspector', 'server', 'server-koa'].map(folder => `${folder}/index.d.ts`)

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

function print(file, form) {
  const dense = form === 'cjs' && { minify: true }
  const { code } = transformSync(readFileSync(file, 'utf8'), { charset: 'utf8', legalComments: 'none', ...dense })
  // in a text of several lines this is SQL, to which it is the same
  writeFileSync(
    file,
    code.replaceAll(/^(?: {2})+/gm, spaces => '\t'.repeat(spaces.length / 2)),
  )
}

for (const [form, type] of [
  ['esm', 'module'],
  ['cjs', 'commonjs'],
]) {
  for (const file of reachable()) {
    mkdirSync(dirname(join('dist', form, file)), { recursive: true })
    copyFileSync(join(ALL, file), join('dist', form, file))
  }
  for (const name of readdirSync(join('dist', form), { recursive: true })) if (name.endsWith('.js')) print(join('dist', form, name), form)
  writeFileSync(join('dist', form, 'package.json'), JSON.stringify({ type, sideEffects: SIDE_EFFECTS }))
}
rmSync(ALL, { recursive: true })
