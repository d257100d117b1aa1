import { existsSync, readFileSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import { mutants } from './mutants.js'

// A mutant whose text is gone changes nothing, which only the long run would show.
test('the text of every mutant stands exactly once in its file, and whoever has to notice is there', () => {
  const wrong = mutants.flatMap(({ name, file, find, by }) => {
    const times = existsSync(file) ? readFileSync(file, 'utf8').split(find).length - 1 : 0
    const missing = by.filter(finder => !finder.startsWith('simulation') && !existsSync(finder))
    return [...(times === 1 ? [] : [`${name}: ${times} times in ${file}`]), ...missing.map(finder => `${name}: there is no ${finder}`)]
  })
  expect(wrong).toEqual([])
  expect(new Set(mutants.map(m => m.name)).size).toBe(mutants.length)
})
