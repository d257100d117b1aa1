// Items with parts, in two collections, and the same items after a migration. MySQL has no keys of type text.

import { Column, Entity, ManyToOne, type MigrationInterface, PrimaryColumn, type QueryRunner, type Relation, TableColumn } from 'typeorm'
import { enableSync } from '../../src/entity/enableSync.js'

export const PROPERTIES = ['a', 'b', 'c'] as const

function entitiesOf(onDelete: 'CASCADE' | 'SET NULL' | 'RESTRICT') {
  @Entity('item')
  class Item {
    @PrimaryColumn('varchar') id!: string
    @Column('text', { nullable: true }) a!: string | null
    @Column('text', { nullable: true }) b!: string | null
    @Column('text', { nullable: true }) c!: string | null
  }
  enableSync(Item, '/items')

  @Entity('part')
  class Part {
    @PrimaryColumn('varchar') id!: string
    @Column('text', { nullable: true }) a!: string | null
    @Column('text', { nullable: true }) b!: string | null
    @Column('text', { nullable: true }) c!: string | null
    @ManyToOne(() => Item, { onDelete, nullable: true }) item!: Relation<Item> | null
  }
  enableSync(Part, '/parts')
  return [Item, Part]
}

export const CASCADE = entitiesOf('CASCADE')
export const SET_NULL = entitiesOf('SET NULL')
export const RESTRICT = entitiesOf('RESTRICT')

@Entity('item')
class Single {
  @PrimaryColumn('varchar') id!: string
  @Column('text', { nullable: true }) a!: string | null
  @Column('text', { nullable: true }) b!: string | null
  @Column('text', { nullable: true }) c!: string | null
}
enableSync(Single, '/items')
export const SINGLE = [Single]

/** With two servers. */
@Entity('item')
class Doubled {
  @PrimaryColumn('varchar') id!: string
  @Column('text', { nullable: true }) a!: string | null
  @Column('text', { nullable: true }) b!: string | null
  @Column('text', { nullable: true }) c!: string | null
}
enableSync(Doubled, ['/items', 'http://t/items'])
export const DOUBLED = [Doubled]

@Entity('item')
class Widened {
  @PrimaryColumn('varchar') id!: string
  @Column('text', { nullable: true }) a!: string | null
  @Column('text', { nullable: true }) b!: string | null
  @Column('text', { nullable: true }) c!: string | null
  @Column('text', { nullable: true }) d!: string | null
}
enableSync(Widened, '/items')
export const WIDENED = [Widened]

/** Brings a column, and rewrites a row while it is at it. */
export class Widen1700000000000 implements MigrationInterface {
  async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.addColumn('item', new TableColumn({ name: 'd', type: 'text', isNullable: true }))
    await queryRunner.query(`UPDATE item SET d = 'migrated' WHERE id = 'y'`)
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.dropColumn('item', 'd')
  }
}

/** The application before it knew of sync. */
@Entity('item')
class Plain {
  @PrimaryColumn('varchar') id!: string
  @Column('text', { nullable: true }) a!: string | null
  @Column('text', { nullable: true }) b!: string | null
  @Column('text', { nullable: true }) c!: string | null
}
export const PLAIN = [Plain]
