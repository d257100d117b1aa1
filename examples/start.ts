// `npm start`: two devices and a server, each with a database of its own. They edit offline, disagree, and agree again.
//
// Nothing is acted: what is printed is read from databases, reports and requests as they are at that moment.

import { mkdirSync, realpathSync, rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Context } from 'koa'
import type { DataSource } from 'typeorm'
import { type ConflictHandler, journal, resolveEach, SyncError, type SyncReport, syncAll, wipe } from 'typeorm-sync'
import { openDevice, type Seen } from './device.js'
import { Project, Task } from './model.js'
import { startServer } from './server.js'
import { chapter, count, type Print, paint, paragraph, table, useColours } from './terminal.js'

/** Runs the story with databases in an empty folder. Resolves to whether all three are equal at the end. */
export async function runStory(folder: string, print: Print): Promise<boolean> {
  const fileOf = (name: string) => join(folder, `${name.toLowerCase()}.sqlite`)
  // a header instead of a password: this server believes everybody
  const principal = (ctx: Context) => ({ id: ctx.get('user') })
  const start = (port: number) => startServer({ port, database: fileOf('server'), principal })

  // ---------------------------------------------------------------- the cast

  let server = await start(0)
  const { url } = server
  const requests: Seen[] = []
  let losesAnswers = false
  const users = new Map([
    ['Alice', 'Alice'],
    ['Bob', 'Bob'],
  ])

  const send: typeof fetch = async (input, init) => {
    const response = await fetch(input, init)
    if (!losesAnswers || init?.method !== 'POST') return response
    await response.arrayBuffer() // the server has stored it by now
    throw new Error('connection reset')
  }

  const open = (name: string) =>
    openDevice({
      file: fileOf(name),
      server: url,
      send,
      user: () => users.get(name) ?? '',
      onRequest(seen) {
        requests.push(seen)
        print(requestLine(name, seen))
      },
    })

  let alice = await open('Alice')
  const bob = await open('Bob')
  const nameOf = (device: DataSource) => (device === alice ? 'Alice' : 'Bob')
  const tasks = (device: DataSource) => device.getRepository(Task)

  async function sync(device: DataSource, handler?: ConflictHandler<Task>): Promise<void> {
    print(reportLine(nameOf(device), await syncAll(device, handler)))
  }

  async function show(device: DataSource): Promise<void> {
    const rows = await tasks(device).find({ relations: { project: true }, order: { name: 'ASC' } })
    print(paint('cyan', `   ${nameOf(device)}'s tasks`))
    table(
      print,
      rows.map(t => [
        `  ${t.done ? '[x]' : '[ ]'} ${t.name}`,
        t.dueDate ? `due ${t.dueDate.toISOString().slice(0, 10)}` : '',
        t.project?.name ?? '',
      ]),
    )
  }

  async function showUnpushed(device: DataSource): Promise<void> {
    const unpushed = [...(await journal(device.getRepository(Project)).pending()), ...(await journal(tasks(device)).pending())]
    print(`   ${nameOf(device)} has ${count(unpushed.length, 'unpushed row')}.`)
  }

  print(paint('bold', 'typeorm-sync: two devices and a server'))
  print('')
  table(print, [
    ['server', url, 'libsql', relative('.', fileOf('server'))],
    ['Alice', 'a device', 'sql.js', relative('.', fileOf('Alice'))],
    ['Bob', 'a device', 'sql.js', relative('.', fileOf('Bob'))],
  ])

  // ---------------------------------------------------------------- the story

  chapter(print, 1, 'Alice writes a list, offline')
  const weekend = await alice.getRepository(Project).save({ name: 'Weekend' })
  const milk = await tasks(alice).save({ name: 'Buy milk', project: weekend })
  const train = await tasks(alice).save({ name: 'Book a train', project: weekend })
  const plants = await tasks(alice).save({ name: 'Water the plants' })
  await show(alice)
  await showUnpushed(alice)

  chapter(print, 2, 'Alice syncs, then Bob does')
  await sync(alice)
  await sync(bob)
  await show(bob)

  chapter(print, 3, 'Both edit the same three tasks, offline')
  await tasks(alice).update(milk.id, { name: 'Buy oat milk' })
  await tasks(bob).update(milk.id, { name: 'Buy two milk' })
  await tasks(alice).update(train.id, { dueDate: new Date('2027-03-01T12:00:00Z') })
  await tasks(bob).update(train.id, { done: true })
  await tasks(alice).delete(plants.id)
  await tasks(bob).update(plants.id, { name: 'Water the plants twice' })
  await show(alice)
  await show(bob)

  chapter(print, 4, 'Both sync, Bob without a conflict handler: what merges is merged, the rest is in conflict')
  await sync(alice)
  await sync(bob)
  await show(bob)
  for (const { reason, local, remote } of await journal(tasks(bob)).conflicts())
    print(paint('yellow', `   ${reason}: here ${taskText(local)}, on the server ${taskText(remote)}`))

  chapter(print, 5, 'Bob syncs with a conflict handler: it keeps both names, and an edit rather than a removal')
  await sync(
    bob,
    resolveEach<Task>(({ local, remote, base, properties }) => {
      const winner = local && remote ? { name: `${remote.name}, ${local.name.toLowerCase()}` } : (local ?? remote)
      const what = properties.length ? properties.join(', ') : 'removed or not'
      print(paint('yellow', `   conflict (${what}): here ${taskText(local)}, on the server ${taskText(remote)},`))
      print(paint('yellow', `   before that ${taskText(base ?? null)}. Bob decides for ${taskText({ ...local, ...winner })}.`))
      return winner
    }),
  )
  await sync(alice)
  await show(alice)

  chapter(print, 6, 'The server is away, and the app is killed')
  await server.stop()
  await tasks(alice).save({ name: 'Buy a map' })
  await failingSync(alice)
  alice = await open('Alice') // the old one is not closed, and nothing of it is used any more: what is not in the file is gone
  print(`   Alice's app starts again from ${relative('.', fileOf('Alice'))}.`)
  await showUnpushed(alice)
  server = await start(Number(new URL(url).port))
  print('   The server is back.')
  await sync(alice)

  chapter(print, 7, 'An answer is lost: the server has stored what Bob pushed, and Bob does not know')
  await sync(bob)
  await tasks(bob).save({ name: 'Feed the cat' })
  losesAnswers = true
  await failingSync(bob)
  losesAnswers = false
  print('   Bob syncs again. Before anything else he asks under the same key what became of that push.')
  await sync(bob)
  await showUnpushed(bob)
  await sync(alice)

  chapter(print, 8, "Carol signs in on Bob's device, which holds what Bob never pushed")
  await tasks(bob).save({ name: 'Call Dora' })
  users.set('Bob', 'Carol')
  await failingSync(bob)
  const ask = (rows: number) => {
    print(`   wipe asks: ${count(rows, 'row')} of Bob's would be lost. The answer is no.`)
    return false
  }
  await wipe(bob, ask)
  print('   Bob signs in again and syncs. Then the device is wiped for Carol.')
  users.set('Bob', 'Bob')
  await sync(bob)
  await wipe(bob, ask)
  print(`   The device has ${count(await tasks(bob).count(), 'task')}.`)
  print('   Carol signs in and syncs.')
  users.set('Bob', 'Carol')
  await sync(bob)
  await sync(alice)

  async function failingSync(device: DataSource): Promise<void> {
    try {
      await sync(device)
      throw new Error('This sync cannot have worked.')
    } catch (error) {
      if (!(error instanceof SyncError)) throw error
      print(paint('red', `   ${error.name}, code '${error.code}':`))
      paragraph(print, error.message, '      ')
    }
    await showUnpushed(device)
  }

  // ---------------------------------------------------------------- the end

  chapter(print, 9, 'The three databases, row by row')
  const databases: [string, DataSource][] = [
    ['server', server.dataSource],
    ['Alice', alice],
    ['Bob', bob],
  ]
  const differing = await compare(['project', 'task'], databases, print)
  const sum = (of: (seen: Seen) => number) => requests.reduce((total, seen) => total + of(seen), 0)
  print('')
  print(
    `   ${count(requests.length, 'request')}, ${sum(r => r.rowsUp)} rows and ${sum(r => r.bytesUp)} bytes up, ` +
      `${sum(r => r.rowsDown)} rows and ${sum(r => r.bytesDown)} bytes down.`,
  )
  print(
    differing === 0
      ? paint('green', '   All three databases are equal.')
      : paint('red', `   ${count(differing, 'row')} differ between the databases.`),
  )

  await Promise.all([alice.destroy(), bob.destroy(), server.stop()])
  return differing === 0
}

// ---------------------------------------------------------------- lines

function requestLine(name: string, { method, url, rowsUp, rowsDown, status, bytesUp, bytesDown, replayed }: Seen): string {
  const since = url.searchParams.get('since')
  const path = `${url.pathname}${since === null ? '' : `?since=${since}`}${url.searchParams.size > 1 ? '&…' : ''}`
  const up = rowsUp ? `${count(rowsUp, 'row')} up` : ''
  const down = rowsDown ? `${count(rowsDown, 'row')} down` : ''
  const rows = [up, down].filter(Boolean).join(', ')
  const answer = status === 0 ? 'no answer' : `${status}${replayed ? ' (replayed)' : ''}`
  return paint(
    'dim',
    `   ${name.padEnd(6)}${method.padEnd(5)}${path.padEnd(38)}${answer.padEnd(15)}${rows.padEnd(12)}${`${bytesUp} B up, ${bytesDown} B down`.padStart(20)}`.trimEnd(),
  )
}

function reportLine(name: string, { pulled, pushed, merged, conflicts, unapplied, rejected, heldBack }: SyncReport): string {
  const done = Object.entries({ pulled, pushed, merged, conflicts, unapplied, rejected, heldBack }).filter(([, n]) => n > 0)
  return `   ${name.padEnd(6)}${done.map(([what, n]) => `${what} ${n}`).join(', ') || 'nothing to pull or push'}`
}

const taskText = (task: { name?: string } | null) => (task ? `"${task.name}"` : 'removed')

// ---------------------------------------------------------------- the proof

/** Compares tables as each database has stored them, stamps aside, for those are its own. Gives back how many rows differ. */
export async function compare(names: readonly string[], databases: readonly [string, DataSource][], print: Print): Promise<number> {
  const rows: { cells: string[]; isEqual: boolean }[] = []
  for (const name of names) {
    const contents = await Promise.all(databases.map(([, dataSource]) => readRows(dataSource, name)))
    for (const id of [...new Set(contents.flatMap(content => [...content.keys()]))].sort()) {
      const texts = contents.map(content => content.get(id))
      const isEqual = texts.every(text => text === texts[0])
      const label = JSON.parse(texts.find(text => text !== undefined)!).name
      rows.push({
        cells: [name, id.slice(0, 8), label, isEqual ? `equal in ${texts.length} databases` : differenceText(databases, texts)],
        isEqual,
      })
    }
  }
  table(
    print,
    rows.map(row => row.cells),
    r => (rows[r]?.isEqual ? undefined : 'red'),
  )
  return rows.filter(row => !row.isEqual).length
}

async function readRows(dataSource: DataSource, name: string): Promise<Map<string, string>> {
  const rows: Record<string, unknown>[] = await dataSource.query(`SELECT * FROM "${name}" ORDER BY id`)
  return new Map(rows.map(({ _lastChange, ...row }) => [String(row.id), JSON.stringify(row)]))
}

const differenceText = (databases: readonly [string, DataSource][], texts: readonly (string | undefined)[]) =>
  databases.map(([name], d) => `${name}: ${texts[d] ?? 'no such row'}`).join('  ')

// ---------------------------------------------------------------- npm start

async function main(): Promise<void> {
  useColours(process.stdout.isTTY === true && !process.env.NO_COLOR)
  const folder = join('data', 'demo')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  if (!(await runStory(folder, line => console.log(line)))) process.exitCode = 1
  console.log(`   They are still there, in ${folder}.`)
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url))
  main().catch(error => {
    console.error(error)
    process.exit(1) // the server may still listen
  })
