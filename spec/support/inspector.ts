// The inspector in a browser with a database of its own, a real server, and Alice's device elsewhere.

import { afterEach, beforeEach, expect } from '@jest/globals'
import type { Page } from 'playwright-core'
import type { DataSource, DeepPartial } from 'typeorm'
import { syncAll } from 'typeorm-sync'
import type { page as inspectorPage } from '../chromium/pages/inspector.js'
import { Folder, Note } from '../chromium/pages/notes.js'
import { device } from '../stories/devices.js'
import { openProfile, openTab, type Tab } from './chromium.js'
import { type NoteServer, serveNotes } from './noteServer.js'

export type Row = DeepPartial<Note>

export const TABS = ['Servers', 'Pending', 'Conflicts', 'Deferred', 'Rejected', 'Decisions', 'Requests']

/** What a test does with the inspector, of which there is a new one for each. */
export class Inspector {
  server!: NoteServer
  alice!: DataSource
  tab!: Tab<typeof inspectorPage>

  constructor() {
    beforeEach(async () => {
      this.server = await serveNotes()
      this.alice = await device([Folder, Note], this.server.url)
      this.tab = await openTab<typeof inspectorPage>(await openProfile(), `${this.server.url}/inspector`)
    })
    afterEach(async () => {
      expect(this.tab.errors).toEqual([])
      await this.page.context().close()
      await this.alice.destroy()
      await this.server.close()
    })
  }

  get page(): Page {
    return this.tab.page
  }
  get call() {
    return this.tab.call
  }

  notesOf = (who: DataSource) => who.getRepository<Note>('Note')
  show = (name: string) => this.page.getByRole('tab', { name: new RegExp(`^${name}`) }).click()
  cards = () => this.page.locator('li.card').filter({ visible: true })
  says = (sentence: string | RegExp) => this.page.getByRole('status').filter({ hasText: sentence }).waitFor()
  press = (name: string | RegExp) => this.page.getByRole('button', { name, exact: true }).click()
  side = (property: string, name: RegExp) => this.page.getByRole('group', { name: property }).getByRole('radio', { name })
  own = (property: string) => this.page.getByRole('textbox', { name: `Own value of ${property}` })

  async syncNow(): Promise<void> {
    await this.press('Sync now')
    await this.says('Synced.')
  }

  /** A note that both have. */
  async share(note: Row): Promise<void> {
    await this.notesOf(this.alice).save(note as Note)
    await syncAll(this.alice)
    await this.call.sync()
  }

  /** Both have changed the note `n`, and Alice was faster. */
  async contest(theirs: Row, ours: Row): Promise<void> {
    await this.share({ id: 'n', title: 'Milk', body: 'One litre' })
    await this.notesOf(this.alice).update('n', theirs as object)
    await syncAll(this.alice)
    await this.call.update('n', ours)
    await this.call.sync()
    await this.show('Conflicts')
    await this.cards().first().waitFor()
  }

  async atAlice(): Promise<Note> {
    await syncAll(this.alice)
    return this.notesOf(this.alice).findOneOrFail({ where: { id: 'n' }, relations: { folder: true } })
  }
}
