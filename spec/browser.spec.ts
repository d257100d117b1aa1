// What a browser loads of us, TypeORM left out: a bundle as an application's own bundler makes it.

import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { root } from './support/readme.js'

/** Bytes, minified and compressed: of all that the package exports. */
const BOUND = 100_500

interface Output {
  readonly inputs: Readonly<Record<string, unknown>>
  readonly imports: readonly { readonly path: string; readonly kind: string }[]
  readonly entryPoint?: string
}

let folder: string
let outputs: Readonly<Record<string, Output>>

async function bundle(entry: string, outdir: string): Promise<Readonly<Record<string, Output>>> {
  const metafile = join(folder, 'meta.json')
  const options = ['--bundle', '--splitting', '--minify', '--format=esm', '--platform=browser', '--target=es2022', '--external:typeorm']
  const bundler = join(root, 'node_modules', 'esbuild', 'bin', 'esbuild')
  await promisify(execFile)(bundler, [entry, ...options, `--outdir=${outdir}`, `--metafile=${metafile}`], { cwd: root })
  return JSON.parse(readFileSync(metafile, 'utf8')).outputs
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'browser-'))
  outputs = await bundle('src/index.ts', folder)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** The names of the files that are loaded at once, with all that they import in turn. */
function initialFiles(): string[] {
  const names = Object.keys(outputs).filter(name => outputs[name]?.entryPoint === 'src/index.ts')
  for (const name of names)
    for (const { path, kind } of outputs[name]?.imports ?? [])
      if (kind === 'import-statement' && outputs[path] && !names.includes(path)) names.push(path)
  return names
}

test('a client loads no code of PostgreSQL and MySQL', () => {
  const inputs = initialFiles().flatMap(name => Object.keys(outputs[name]?.inputs ?? {}))
  expect(inputs).toContain('src/databases/sqlite/database.ts')
  expect(inputs.filter(path => /postgres|mysql/.test(path))).toEqual([])
  // but it may, where a data source is of that kind
  const others = Object.values(outputs).flatMap(output => Object.keys(output.inputs))
  expect(others).toEqual(expect.arrayContaining(['src/databases/postgres/database.ts', 'src/databases/mysql/database.ts']))
})

test(`what a client loads has ${BOUND} bytes at most, minified and compressed`, () => {
  const sizes = initialFiles().map(name => gzipSync(readFileSync(join(folder, basename(name)))).length)
  const size = sizes.reduce((sum, bytes) => sum + bytes, 0)
  expect(size).toBeLessThanOrEqual(BOUND)
  expect(size).toBeGreaterThan(BOUND * 0.9) // or the bound has fallen behind
})

test('nothing of the inspector is loaded by the client, and all of it by who imports it for its effect', async () => {
  expect(Object.values(outputs).flatMap(({ inputs }) => Object.keys(inputs).filter(path => path.includes('inspector/')))).toEqual([])
  const entry = join(folder, 'entry.ts')
  writeFileSync(entry, `import ${JSON.stringify(join(root, 'inspector', 'index.ts'))}`)
  const made = await bundle(entry, join(folder, 'inspector'))
  const own = Object.values(made).flatMap(({ inputs }) => Object.keys(inputs).filter(path => path.includes('inspector/')))
  expect(own.length).toBeGreaterThan(15)
})

describe('who does not call', () => {
  const inputs = async (names: string, part: string) => {
    const entry = join(folder, 'entry.ts')
    writeFileSync(entry, `export { ${names} } from ${JSON.stringify(join(root, 'src', 'index.ts'))}`)
    const made = await bundle(entry, join(folder, 'some'))
    return Object.values(made).flatMap(output => Object.keys(output.inputs).filter(path => path.includes(`src/entity/${part}/`)))
  }
  const others = 'withSync, syncAll, journal, hasLocalChanges, EnableSync, SyncedEntity, wipe, adopt'

  test('keepSynced loads nothing of it', async () => {
    expect(await inputs(others, 'keep')).toEqual([])
    expect((await inputs('withSync, keepSynced', 'keep')).length).toBeGreaterThan(4)
  })

  test('watch loads nothing of it', async () => {
    expect(await inputs(`${others}, keepSynced`, 'watch')).toEqual([])
    expect((await inputs('withSync, watch, watchConflicts', 'watch')).length).toBeGreaterThan(4)
  })
})
