// Entities with a property of each kind, for what shows rows.

import 'reflect-metadata'
import { EntitySchema } from 'typeorm'
import { binary, enableSync } from 'typeorm-sync'

export interface Folder {
  id: string
  name: string
}
export interface Note {
  id: string
  title: string
  body: string | null
  stars: number
  done: boolean
  due: Date | null
  photo: Uint8Array | null
  tags: string[] | null
  folder: Folder | null
}

const id = { type: 'varchar', length: 64, primary: true } as const

export const Folder = new EntitySchema<Folder>({ name: 'Folder', tableName: 'folder', columns: { id, name: { type: 'varchar' } } })
export const Note = new EntitySchema<Note>({
  ...{ name: 'Note', tableName: 'note' },
  columns: {
    id,
    title: { type: 'varchar' },
    body: { type: 'text', nullable: true },
    stars: { type: 'integer', default: 0 },
    done: { type: 'boolean', default: false },
    due: { type: 'datetime', nullable: true },
    photo: { type: binary, nullable: true },
    tags: { type: 'simple-json', nullable: true },
  },
  relations: { folder: { type: 'many-to-one', target: 'Folder', nullable: true, joinColumn: true, onDelete: 'CASCADE' } },
})
enableSync(Folder, '/folders')
enableSync(Note, '/notes')
