// All the servers of a data source that are listened to.

import type { DataSource } from 'typeorm'
import type { TransportOptions, Versioned } from '../../sync/http/transport.js'
import { feedsOf } from '../feeds.js'
import { changeLogOf } from '../registry.js'
import { LiveFeed, type LiveHooks } from './liveFeed.js'

export type { LiveHooks } from './liveFeed.js'

export class Live {
  #feeds: readonly LiveFeed[] | undefined

  constructor(
    private readonly dataSource: DataSource,
    private readonly options: TransportOptions & Versioned,
    private readonly hooks: LiveHooks,
    private readonly random: () => number,
  ) {}

  /** Is every one of them heard? */
  get isLive(): boolean {
    return this.#feeds?.length !== 0 && this.#feeds?.every(feed => feed.isLive) === true
  }

  /** After a sync that succeeded: it says where to listen. */
  start(): void {
    const { dataSource, options, hooks, random } = this
    this.#feeds ??= feedsOf(changeLogOf(dataSource)).map(feed => new LiveFeed(dataSource, feed, options, hooks, random))
    for (const feed of this.#feeds) feed.start()
  }

  restart(): void {
    for (const feed of this.#feeds ?? []) feed.restart()
  }

  /** Resolves when nothing runs any more. */
  async stop(): Promise<void> {
    await Promise.all((this.#feeds ?? []).map(feed => feed.stop()))
  }
}
