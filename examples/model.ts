// A to-do list. The same classes serve the client and the server.

import 'reflect-metadata'
import { Column, Entity, Index, ManyToOne, OneToMany, PrimaryColumn, type Relation } from 'typeorm'
import { binary, EnableSync, SyncedEntity } from 'typeorm-sync'

// Tables are named here because a minifier may rename classes. A key is a text, so that any id may come, those of clients of 2012 and of curl as
// well; a row that is saved without one gets a UUID.
@Entity('project')
@EnableSync('/projectChanges')
export class Project extends SyncedEntity {
  @PrimaryColumn('varchar', { length: 255 })
  id!: string

  @Column('varchar')
  name!: string

  @OneToMany(
    () => Task,
    task => task.project,
  )
  tasks!: Relation<Task>[]
}

/** Lets a user into a list. */
@Entity('member')
@EnableSync('/memberChanges', { scopes: ['project'] })
export class Member extends SyncedEntity {
  /** Made of both, by `memberId`: two devices that let the same user in make one row. */
  @PrimaryColumn('varchar', { length: 255 })
  id!: string

  /** The name by which they sign in. */
  @Column('varchar')
  user!: string

  /** A reader sees the list and its tasks, a writer changes tasks, an owner changes the list and its members too. */
  @Column('varchar')
  role!: 'owner' | 'writer' | 'reader'

  @Index()
  @ManyToOne(() => Project, { nullable: false, onDelete: 'CASCADE' })
  project!: Relation<Project>
}

export const memberId = (project: Project, user: string) => `${project.id}/${user}`

@Entity('task')
@Index(['project', 'done', 'name']) // the order in which a list shows them
@EnableSync('/taskChanges', { scopes: ['project'] })
export class Task extends SyncedEntity {
  @PrimaryColumn('varchar', { length: 255 })
  id!: string

  @Column('varchar')
  name!: string

  @Column('boolean', { default: false })
  done!: boolean

  @Column({ type: Date, nullable: true }) // what each database has for it
  dueDate!: Date | null

  /** One property: two devices that tag a task differently are asked. As rows of their own, as photos are, they would merge. */
  @Column('simple-array', { nullable: true })
  tags!: string[] | null

  @ManyToOne(
    () => Project,
    project => project.tasks,
    { nullable: true, onDelete: 'CASCADE' },
  )
  project!: Relation<Project> | null
}

/** A row of its own, so that ticking a task does not send its photo again. Who sees the task sees it. */
@Entity('photo')
@EnableSync('/photoChanges', { scopes: ['task.project'] })
export class Photo extends SyncedEntity {
  /** That of its task, which has one photo: two devices that take one each are asked. */
  @PrimaryColumn('varchar', { length: 255 })
  id!: string

  @Index()
  @ManyToOne(() => Task, { nullable: false, onDelete: 'CASCADE' })
  task!: Relation<Task>

  @Column({ type: binary })
  bytes!: Uint8Array
}

/** The same for everybody; only the server writes it. */
@Entity('holiday')
@EnableSync('/holidayChanges')
export class Holiday extends SyncedEntity {
  /** Its date. */
  @PrimaryColumn('varchar', { length: 10 })
  id!: string

  @Column('varchar')
  name!: string
}

export const ENTITIES = [Project, Member, Task, Photo, Holiday]
