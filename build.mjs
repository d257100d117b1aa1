// The second half of `npm run build`, after the compiler has written the declarations: what programs load, in both forms of the package.
//
// The modules of an entry are printed as one file, and what several entries share as a chunk: a program loads ten files instead of 200. ES modules keep
// their names and lines, for bundlers and stack traces; the others are there once more, without lines, and with their outer names alone.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { build, transform } from 'esbuild'

const DECLARATIONS = 'dist/types'
const ENTRIES = ['src', 'src/react', 'browser', 'inspector', 'server', 'server-koa'].map(folder => `${folder}/index`)
/** What a bundler keeps though nothing of it is used: it defines the element. */
const SIDE_EFFECTS = ['./inspector/index.js']

/** The ES modules, by their paths. */
async function bundle() {
  const { outputFiles } = await build({
    entryPoints: ENTRIES.map(entry => `${entry}.ts`),
    bundle: true,
    splitting: true,
    packages: 'external',
    format: 'esm',
    platform: 'neutral',
    charset: 'utf8',
    minifySyntax: true,
    legalComments: 'none',
    outdir: '.',
    chunkNames: 'chunks/[name]-[hash]',
    write: false,
  })
  return outputFiles.map(({ path, text }) => ({ path: relative('.', path), text: narrow(text) }))
}

// Without indents: in a text of several lines that is SQL or HTML, to which it is the same. Without imports for an effect, which chunks do not have.
const narrow = text => text.replaceAll(/^ +/gm, '').replaceAll(/^import "[./]+chunks[^"]*";\n/gm, '')

/** An ES module as a script of the other kind. Without import(), which jest does not have there. What is minified as no module keeps its outer names. */
async function toCommonJs(text) {
  const { code } = await transform(text, { format: 'cjs', charset: 'utf8', supported: { 'dynamic-import': false } })
  return (await transform(code, { minify: true, charset: 'utf8' })).code
}

/** The declarations to which an entry leads; no program outside can import the others. */
function reachable() {
  const files = new Set(ENTRIES.map(entry => `${entry}.d.ts`))
  for (const file of files) {
    const text = readFileSync(join(DECLARATIONS, file), 'utf8')
    for (const [, name] of text.matchAll(/(?:from|import|import\()\s*['"](\.[^'"]+)\.js['"]/g))
      files.add(join(dirname(file), `${name}.d.ts`))
  }
  return files
}

function write(form, path, text) {
  mkdirSync(dirname(join('dist', form, path)), { recursive: true })
  writeFileSync(join('dist', form, path), text)
}

for (const { path, text } of await bundle()) {
  write('esm', path, text)
  write('cjs', path, await toCommonJs(text))
}
for (const [form, type] of [
  ['esm', 'module'],
  ['cjs', 'commonjs'],
]) {
  for (const file of reachable()) write(form, file, readFileSync(join(DECLARATIONS, file)))
  write(form, 'package.json', JSON.stringify({ type, sideEffects: SIDE_EFFECTS }))
}
rmSync(DECLARATIONS, { recursive: true })
