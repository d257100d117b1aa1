// Tables of every kind: synced ones that refer to each other, one with children in it, links, and one that is not synced.

import { EntitySchema } from 'typeorm'
import { enableSync, type Watch, type WatchSnapshot } from 'typeorm-sync'
import { until } from '../../support/until.js'

export interface List {
  id: string
  name: string
  tasks?: Task[]
}

export interface Tag {
  id: string
  name: string
}

export interface Task {
  id: string
  name: string
  list?: List | null
  tags?: Tag[]
}

export interface Note {
  id: string
  text: string
  task?: Task | null
}

const id = { type: 'varchar', length: 64, primary: true } as const
const name = { type: 'varchar', length: 64 } as const

export const List = new EntitySchema<List>({
  ...{ name: 'WatchedList', tableName: 'watched_list', columns: { id, name } },
  relations: { tasks: { type: 'one-to-many', target: 'WatchedTask', inverseSide: 'list' } },
})
export const Tag = new EntitySchema<Tag>({ name: 'WatchedTag', tableName: 'watched_tag', columns: { id, name } })
export const Task = new EntitySchema<Task>({
  ...{ name: 'WatchedTask', tableName: 'watched_task', columns: { id, name } },
  relations: {
    list: { type: 'many-to-one', target: 'WatchedList', inverseSide: 'tasks', nullable: true },
    tags: { type: 'many-to-many', target: 'WatchedTag', joinTable: { name: 'watched_task_tag' } },
  },
})
/** Not synced. */
export const Note = new EntitySchema<Note>({
  ...{ name: 'WatchedNote', tableName: 'watched_note', columns: { id, text: { type: 'varchar', length: 64 } } },
  relations: { task: { type: 'many-to-one', target: 'WatchedTask', nullable: true, onDelete: 'CASCADE' } },
})
enableSync(List, '/watchedLists')
enableSync(Tag, '/watchedTags')
enableSync(Task, '/watchedTasks', { omit: ['tags'] })

export const ENTITIES = [List, Tag, Task, Note]

/** What a watch has told so far. */
export function hear<Row>(watched: Watch<Row>) {
  const told: WatchSnapshot<Row>[] = []
  const end = watched.subscribe(snapshot => told.push(snapshot))
  return {
    told,
    end,
    /** Waits until the rows, by one of their properties, are these. */
    async shows(property: keyof Row, values: unknown[]) {
      const shown = () => watched.getSnapshot().rows.map(row => row[property])
      await until(() => JSON.stringify(shown()) === JSON.stringify(values)).catch(() => {})
      if (JSON.stringify(shown()) !== JSON.stringify(values))
        throw new Error(`It shows ${JSON.stringify(shown())}, not ${JSON.stringify(values)} ${String(watched.getSnapshot().error ?? '')}`)
    },
  }
}
