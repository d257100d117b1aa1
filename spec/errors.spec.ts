import { readFileSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import { transformSync } from '@swc/core'

const source = ['src/errors.ts', 'src/protocol/errors.ts', 'src/sync/http/errors.ts', 'browser/errors.ts']
  .map(file => readFileSync(file, 'utf8').replace(/^import .*/gm, ''))
  .join('')
const names = [...source.matchAll(/^export class (\w+)/gm)].map(([, name]) => name as string)

/** The module as a minifier leaves it. */
function minified(): Record<string, new (...details: unknown[]) => Error> {
  const { code } = transformSync(source, {
    ...{ swcrc: false, minify: true, module: { type: 'commonjs' } },
    jsc: { target: 'es2022', parser: { syntax: 'typescript' }, minify: { mangle: { toplevel: true }, compress: false } },
  })
  const exports = {}
  new Function('exports', code)(exports)
  return exports
}

test.each(names)('a minifier leaves %s its name', name => {
  const Class = minified()[name] as new (...details: unknown[]) => Error
  expect(Class.name).not.toBe(name)
  const error = new Class('what went wrong', { url: 'http://server.test', isDefinite: true }, { url: 'http://server.test' })
  expect(error.name).toBe(name)
})

test('every error has a code of its own', () => {
  const codes = [...source.matchAll(/readonly code(?:: string)? = '([\w-]+)'/g)].map(([, code]) => code)
  expect(codes).toHaveLength(names.length)
  expect(new Set(codes).size).toBe(codes.length)
})
