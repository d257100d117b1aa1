export * from './application.js'
export type { FindPrincipal } from './principal.js'
export type { SyncRequest, SyncResponse } from './request.js'
export { healthHandler, type SyncHandler, type SyncHandlerOptions, syncHandler } from './syncHandler.js'
