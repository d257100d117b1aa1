// A to-do list. The same classes serve the client and the server.

import 'reflect-metadata'
import { Column, Entity, ManyToOne, OneToMany, PrimaryColumn, type Relation } from 'typeorm'
import { EnableSync, SyncedEntity } from 'typeorm-sync'

// Tables are named here because a minifier may rename classes. A key is a text, so that any id may come, those of clients of 2012 and of curl as
// well; a row that is saved without one gets a UUID.
@Entity('project')
@EnableSync('/projectChanges')
export class Project extends SyncedEntity {
  @PrimaryColumn('varchar', { length: 255 })
  id!: string

  @Column()
  name!: string

  @OneToMany(
    () => Task,
    task => task.project,
  )
  tasks!: Relation<Task>[]
}

@Entity('task')
@EnableSync('/taskChanges')
export class Task extends SyncedEntity {
  @PrimaryColumn('varchar', { length: 255 })
  id!: string

  @Column()
  name!: string

  @Column({ default: false })
  done!: boolean

  @Column({ type: Date, nullable: true }) // what each database has for it
  dueDate!: Date | null

  @ManyToOne(
    () => Project,
    project => project.tasks,
    { nullable: true, onDelete: 'CASCADE' },
  )
  project!: Relation<Project> | null
}
