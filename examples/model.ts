// A to-do list. The same classes serve the client and the server.

import 'reflect-metadata'
import { Column, Entity, ManyToOne, OneToMany, PrimaryGeneratedColumn, type Relation } from 'typeorm'
import { EnableSync, SyncedEntity } from 'typeorm-sync'

// Tables are named here because a minifier may rename classes.
@Entity('project')
@EnableSync('/projectChanges')
export class Project extends SyncedEntity {
  @PrimaryGeneratedColumn('uuid')
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
  @PrimaryGeneratedColumn('uuid')
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
