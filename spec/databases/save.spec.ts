// Saves of a database in memory, which take their time.

import { expect, test } from '@jest/globals'
import { DataSource } from 'typeorm'
import { Saving } from '../../src/databases/sqlite/save.js'

/** A database whose saves end when the test says so. */
function slow() {
  const ends: { end(): void; fail(error: unknown): void }[] = []
  const save = () => new Promise<void>((end, fail) => ends.push({ end, fail }))
  return { ends, saving: new Saving(new DataSource({ type: 'sqljs' }), { save }) }
}

const turn = () => new Promise<void>(resolve => setTimeout(resolve, 0))

test('who wrote before a save that another call has begun waits until it is done', async () => {
  const { ends, saving } = slow()
  saving.noteWrite()
  const done: string[] = []
  const [first, second] = [saving.save().then(() => done.push('first')), saving.save().then(() => done.push('second'))]
  await turn()
  expect(done).toEqual([])
  expect(ends.length).toBe(1)
  ends[0]?.end()
  await Promise.all([first, second])
  expect(done).toEqual(['first', 'second'])
  expect(ends.length).toBe(1)
})

test('what is written during a save is saved after it', async () => {
  const { ends, saving } = slow()
  saving.noteWrite()
  const first = saving.save()
  await turn()
  saving.noteWrite()
  const second = saving.save()
  await turn()
  expect(ends.length).toBe(1)
  ends[0]?.end()
  await first
  await turn()
  expect(ends.length).toBe(2)
  ends[1]?.end()
  await second
})

test('where the save fails that another call has begun, it is tried again', async () => {
  const { ends, saving } = slow()
  saving.noteWrite()
  const first = saving.save()
  const second = saving.save()
  await turn()
  ends[0]?.fail(new Error('full'))
  await expect(first).rejects.toMatchObject({ code: 'database-failed' })
  await turn()
  expect(ends.length).toBe(2)
  ends[1]?.end()
  await second
})
