// What the web app begins with.

import { readFileSync } from 'node:fs'
import type { DataSource } from 'typeorm'
import { Member, memberId, Photo, Project, Task } from './model.js'

type Role = Member['role']
const LISTS: readonly { name: string; members: Record<string, Role>; tasks: readonly Partial<Task>[] }[] = [
  {
    name: 'Weekend',
    members: { alice: 'owner', bob: 'writer', carol: 'reader' },
    tasks: [
      { name: 'Book a train', dueDate: new Date('2027-03-01'), tags: ['travel'] },
      { name: 'Buy oat milk', tags: ['shop'] },
      { name: 'Pack the tent and both sleeping bags', tags: ['travel', 'garage'] },
      { name: 'Walk to the lake' },
      { name: 'Water the plants', done: true },
    ],
  },
  {
    name: 'Birthday',
    members: { alice: 'owner' },
    tasks: [
      { name: 'Bake a cake', tags: ['kitchen'] },
      { name: 'Buy candles', tags: ['shop'] },
    ],
  },
  {
    name: 'Garden',
    members: { bob: 'owner', carol: 'writer' },
    tasks: [{ name: 'Cut the hedge', tags: ['autumn'] }, { name: 'Plant tulips' }],
  },
]

/** Stores some lists, and a photo of the lake, in a database that has none. */
export async function seed(dataSource: DataSource, photo: string): Promise<void> {
  const [projects, members, tasks] = [Project, Member, Task].map(entity => dataSource.getRepository<Project | Member | Task>(entity))
  if (await projects!.count()) return
  for (const { name, members: users, tasks: named } of LISTS) {
    const project = (await projects!.save({ name })) as Project
    await members!.save(Object.entries(users).map(([user, role]) => ({ id: memberId(project, user), user, role, project })))
    await tasks!.save(named.map(task => ({ ...task, project })))
  }
  const task = (await tasks!.findOneBy({ name: 'Walk to the lake' })) as Task
  await dataSource.getRepository(Photo).save({ id: task.id, task, bytes: readFileSync(photo) })
}
