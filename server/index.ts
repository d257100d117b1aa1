export { checkHealth, type Health } from './health.js'
export { collectTombstones, forgetPushes, type MaintenanceOptions, maintain, renewHistory } from './maintenance.js'
export type { FindPrincipal, Principal } from './principal.js'
export type { SyncRequest, SyncResponse } from './request.js'
export {
  type KeysOf,
  keys,
  type Rule,
  type RuleAnswer,
  type RuleFilter,
  type RuleFor,
  type RuleOptions,
  type RuleValue,
  rule,
} from './rules.js'
export { healthHandler, type SyncHandler, type SyncHandlerOptions, syncHandler } from './syncHandler.js'
