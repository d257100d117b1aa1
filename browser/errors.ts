import { SyncError } from '../src/errors.js'

/** A database of the browser is open in another tab, a worker, or this page itself. Close it there, or open it here with `takeOver: true`. */
export class DatabaseInUseError extends SyncError {
  override readonly name = 'DatabaseInUseError'
  override readonly code = 'database-in-use'
}

/** The browser's database holds the rows of `user`, and was to be opened as somebody else. It was not opened. */
export class OtherOwnerError extends SyncError {
  override readonly name = 'OtherOwnerError'
  override readonly code = 'other-owner'
  constructor(
    database: string,
    readonly user: string,
  ) {
    super(
      `The database ${database} holds the rows of another user. Open it as that one, the error's \`user\`, and call its wipe() to remove them or adopt() to make them the new user's; or give each user a database with another name.`,
    )
  }
}

/** The browser gives no more room. What was written since the last save is in memory alone: free some room, and call `flush()`; or let the user know. */
export class StorageFullError extends SyncError {
  override readonly name = 'StorageFullError'
  override readonly code = 'storage-full'
}
