// What a server takes and gives at once.

export interface BodyLimits {
  /** Of the decoded body, and of the encoded one. */
  readonly maxBodyBytes: number
  /** Milliseconds for the whole body to arrive. */
  readonly requestTimeout: number
}

export interface PullLimits {
  /** Updates that are read at a time. */
  readonly pageSize: number
  /** The most that a client gets that asks for pages. */
  readonly maxPageSize: number
  /** Bytes of values that are read at a time, and that a client gets that asks for pages; a row that is larger comes alone. */
  readonly pageBytes: number
  /** Milliseconds after which the connection of a client that reads nothing of its answer is closed. */
  readonly requestTimeout: number
}

export interface PushLimits extends BodyLimits {
  /** In one POST. */
  readonly maxRows: number
}

export interface LiveLimits {
  /** Requests that wait for news: in all, by data source. One more is answered with 503. */
  readonly maxListeners: number
  /** Those of one principal. */
  readonly maxListenersPerPrincipal: number
  /** Milliseconds between looks at the clock while somebody listens. What this process is posted needs none. */
  readonly watchInterval: number
  /** Milliseconds between signs of life in a stream. */
  readonly heartbeat: number
}
