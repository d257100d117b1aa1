// `npm start`: two devices and a server, each with a database of its own. They edit offline, disagree, and agree again; and each user sees the lists
// that they are let into (rules.ts).
//
// Nothing is acted: what is printed is read from databases, reports and requests as they are at that moment.

import { mkdirSync, realpathSync, rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { DataSource } from 'typeorm'
import { type ConflictHandler, journal, resolveEach, SyncError, syncAll } from 'typeorm-sync'
import { compare } from './compare.js'
import { openDevice, type Seen } from './device.js'
import { reportLine, requestLine, taskText } from './lines.js'
import { ENTITIES, Member, memberId, Project, Task } from './model.js'
import { startServer } from './server.js'
import { chapter, count, type Print, paint, paragraph, setColours, table } from './terminal.js'
import { USERS, type User } from './users.js'
import { buildWebApp, serveWebApp } from './webApp.js'

export { compare }

/** Runs the story with databases in an empty folder. Resolves to whether all three are equal at the end. */
export async function runStory(folder: string, print: Print): Promise<boolean> {
  const fileOf = (name: string) => join(folder, `${name.toLowerCase()}.sqlite`)
  const start = (port: number) => startServer({ port, database: fileOf('server'), users: USERS })

  // ---------------------------------------------------------------- the cast

  let server = await start(0)
  const { url } = server
  const requests: Seen[] = []
  let losesAnswers = false

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
      user: () => USERS.find(user => user.name === name.toLowerCase()) as User,
      onRequest(seen) {
        requests.push(seen)
        print(requestLine(name, seen))
      },
    })

  let alice = await open('Alice')
  const bob = await open('Bob')
  const nameOf = (device: DataSource) => (device === alice ? 'Alice' : 'Bob')
  const tasks = (device: DataSource) => device.getRepository(Task)

  /** What Alice does in her own lists. */
  async function letIn(project: Project, user: string, role: Member['role']): Promise<void> {
    await alice.getRepository(Member).save({ id: memberId(project, user), user, role, project })
  }

  const shutOut = (project: Project, user: string) => alice.getRepository(Member).delete(memberId(project, user))

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
    const unpushed = await Promise.all(ENTITIES.map(entity => journal(device.getRepository<Task>(entity as typeof Task)).pending()))
    print(`   ${nameOf(device)} has ${count(unpushed.flat().length, 'unpushed row')}.`)
  }

  print(paint('bold', 'typeorm-sync: two devices and a server'))
  print('')
  table(print, [
    ['server', url, 'libsql', relative('.', fileOf('server'))],
    ['Alice', 'a device', 'sql.js', relative('.', fileOf('Alice'))],
    ['Bob', 'a device', 'sql.js', relative('.', fileOf('Bob'))],
  ])

  // ---------------------------------------------------------------- the story

  chapter(print, 1, 'Alice writes a list, offline, and lets Bob in. She syncs, then Bob does')
  const weekend = await alice.getRepository(Project).save({ name: 'Weekend' })
  await letIn(weekend, 'alice', 'owner')
  await letIn(weekend, 'bob', 'writer')
  const milk = await tasks(alice).save({ name: 'Buy milk', project: weekend })
  const train = await tasks(alice).save({ name: 'Book a train', project: weekend })
  const plants = await tasks(alice).save({ name: 'Water the plants', project: weekend })
  await showUnpushed(alice)
  await sync(alice)
  await sync(bob)
  await show(bob)

  chapter(print, 2, 'Both edit the same three tasks, offline. What merges is merged, the rest is in conflict')
  await tasks(alice).update(milk.id, { name: 'Buy oat milk' })
  await tasks(bob).update(milk.id, { name: 'Buy two milk' })
  await tasks(alice).update(train.id, { dueDate: new Date('2027-03-01T12:00:00Z') })
  await tasks(bob).update(train.id, { done: true })
  await tasks(alice).delete(plants.id)
  await tasks(bob).update(plants.id, { name: 'Water the plants twice' })
  await sync(alice)
  await sync(bob)
  await show(bob)
  for (const { reason, local, remote } of await journal(tasks(bob)).conflicts())
    print(paint('yellow', `   ${reason}: here ${taskText(local)}, on the server ${taskText(remote)}`))

  chapter(print, 3, 'Bob syncs with a conflict handler: it keeps both names, and an edit rather than a removal')
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

  chapter(print, 4, 'The server is away, and the app is killed. Then an answer is lost')
  await server.stop()
  await tasks(alice).save({ name: 'Buy a map', project: weekend })
  await failingSync(alice)
  alice = await open('Alice') // the old one is not closed, and nothing of it is used any more: what is not in the file is gone
  print(`   Alice's app starts again from ${relative('.', fileOf('Alice'))}.`)
  await showUnpushed(alice)
  server = await start(Number(new URL(url).port))
  print('   The server is back. It stores what she pushes, but its answer is lost.')
  losesAnswers = true
  await failingSync(alice)
  losesAnswers = false
  print('   Alice syncs again. Before anything else she asks under the same key what became of that push.')
  await sync(alice)
  await showUnpushed(alice)
  await sync(bob)

  chapter(print, 5, 'Alice lets Bob into another list, and shuts him out, who has edited a task offline')
  const birthday = await alice.getRepository(Project).save({ name: 'Birthday' })
  await letIn(birthday, 'alice', 'owner')
  await letIn(birthday, 'bob', 'writer')
  const cake = await tasks(alice).save({ name: 'Bake a cake', project: birthday })
  await sync(alice)
  await sync(bob)
  await tasks(bob).update(cake.id, { dueDate: new Date('2027-04-01T12:00:00Z') })
  await shutOut(birthday, 'bob')
  await sync(alice)
  await sync(bob)
  await show(bob)
  print(paint('yellow', '   The list is gone. What Bob never pushed is in the journal:'))
  for (const { code, local } of await journal(tasks(bob)).rejected())
    print(paint('yellow', `   ${code}: ${taskText(local)}, due ${local?.dueDate?.toISOString().slice(0, 10)}`))
  print('   She lets him in again: the list is back, and his edit in it.')
  await letIn(birthday, 'bob', 'writer')
  await sync(alice)
  await sync(bob)
  await show(bob)
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
  }

  // ---------------------------------------------------------------- the end

  chapter(print, 6, 'The three databases, row by row')
  const databases: [string, DataSource][] = [
    ['server', server.dataSource],
    ['Alice', alice],
    ['Bob', bob],
  ]
  const differing = await compare(['project', 'member', 'task', 'holiday'], databases, print)
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

// ---------------------------------------------------------------- npm start

/** Somebody looks, and can end it. */
const isAtTerminal = process.stdin.isTTY === true && process.stdout.isTTY === true && !process.env.CI

async function main(): Promise<void> {
  setColours(process.stdout.isTTY === true && !process.env.NO_COLOR)
  const folder = join('data', 'demo')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const isBuilt = isAtTerminal ? buildWebApp() : undefined
  isBuilt?.catch(() => {}) // the story is told first
  if (!(await runStory(folder, line => console.log(line)))) process.exitCode = 1
  console.log(`   They are still there, in ${folder}.`)
  if (!isBuilt) return
  await isBuilt
  const { url, stop } = await serveWebApp()
  console.log(`\n${paint('bold', `The same in a browser: ${url}`)}\nTwo devices, each with a database of its own. Ctrl-C ends it.\n`)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop())
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url))
  main().catch(error => {
    console.error(error)
    process.exit(1) // the server may still listen
  })
