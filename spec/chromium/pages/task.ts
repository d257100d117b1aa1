// An entity for pages and their server. esbuild emits no metadata of types: each column says its own.

import 'reflect-metadata'
import { Column, Entity, PrimaryColumn } from 'typeorm'
import { EnableSync, SyncedEntity } from 'typeorm-sync'

@Entity('task')
@EnableSync('/taskChanges')
export class Task extends SyncedEntity {
  @PrimaryColumn('varchar', { length: 255 })
  id!: string

  @Column('varchar')
  name!: string

  @Column('boolean', { default: false })
  done!: boolean
}
