import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { root, snippets } from '../support/readme.js'

const quoted = snippets.filter(({ page, language }) => page === 'docs/example-app.md' && language === 'tsx')
const nameIn = (code: string) => /^\/\/ (\S+)/.exec(code)?.[1] ?? ''
const linesOf = (text: string) => text.split('\n').map(line => line.trim())

test('what the page about the example app quotes is in its files', () => {
  expect(quoted.length).toBeGreaterThan(3)
  for (const { code } of quoted) {
    const lines = linesOf(readFileSync(join(root, 'examples', 'web', 'src', nameIn(code)), 'utf8')).join('\n')
    expect(lines).toContain(
      linesOf(code.replace(/^\/\/ .*\n/, ''))
        .join('\n')
        .trim(),
    )
  }
})
