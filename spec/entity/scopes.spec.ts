import { expect, test } from '@jest/globals'
import { Column, Entity, EntitySchema, JoinColumn, ManyToOne, PrimaryGeneratedColumn } from 'typeorm'
import { EnableSync, enableSync } from '../../src/entity/enableSync.js'
import { changeLogOf } from '../../src/entity/registry.js'
import { dataSourceOn, newFile } from './openDataSource.js'

@Entity()
@EnableSync('/projects')
class Project {
  @PrimaryGeneratedColumn('uuid') id!: string
}

class Place {
  @Column('integer', { nullable: true }) room!: number | null
}

abstract class Owned {
  @PrimaryGeneratedColumn('uuid') id!: string
  @Column('text') owner!: string
}
enableSync(Owned, '/owned', { scopes: ['owner'] })

@EnableSync('/tasks', { scopes: ['project', 'place.room', 'owner', 'owner', 'second'] })
@Entity()
class Task extends Owned {
  @ManyToOne(() => Project) project!: Project
  @Column(() => Place) place!: Place
  @Column('uuid', { nullable: true }) secondId!: string | null
  @ManyToOne(() => Project) @JoinColumn({ name: 'secondId' }) second!: Project | null
}

const Note = new EntitySchema<any>({
  name: 'Note',
  columns: { id: { type: 'uuid', primary: true }, owner: { type: 'varchar', length: 40 }, other: { type: 'varchar' } },
})

async function open(...entities: (typeof Project | EntitySchema)[]) {
  const dataSource = dataSourceOn('libsql', newFile(), { entities, synchronize: true })
  return dataSource.initialize()
}

async function indexesOf(dataSource: Awaited<ReturnType<typeof open>>, table: string) {
  const rows = await dataSource.query(
    `SELECT l.name, group_concat(i.name) AS columns FROM pragma_index_list('${table}') l, pragma_index_info(l.name) i
      WHERE l.origin = 'c' GROUP BY l.name ORDER BY 2`,
  )
  return rows.map((row: { columns: string }) => row.columns)
}

test('scopes are codecs in the declared order, and have indexes', async () => {
  const dataSource = await open(Task as never, Project)
  const task = changeLogOf(dataSource).collections.find(c => c.name === 'task')
  expect(task?.scopes.map(c => c.property)).toEqual(['project', 'place.room', 'owner', 'secondId'])
  expect(task?.table.scopes).toEqual(['projectId', 'placeRoom', 'owner', 'secondId'])
  expect(await indexesOf(dataSource, 'task')).toEqual([
    '_lastChange,id',
    ...['owner', 'placeRoom', 'projectId', 'secondId'].map(column => `${column},_lastChange,id`),
  ])
  expect(await indexesOf(dataSource, 'project')).toEqual(['_lastChange,id'])
  await dataSource.destroy()
})

test('a second call declares anew', async () => {
  enableSync(Note, '/notes', { scopes: ['other'] })
  enableSync(Note, '/notes', { scopes: ['owner'] })
  const dataSource = await open(Note)
  expect(await indexesOf(dataSource, 'note')).toEqual(['_lastChange,id', 'owner,_lastChange,id'])
  await dataSource.destroy()
})
