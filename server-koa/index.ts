export { checkHealth, type Health, health } from './health.js'
export { collectTombstones, forgetPushes, type MaintenanceOptions, maintain, renewHistory } from './maintenance.js'
export type { SyncRoutesOptions } from './options.js'
export type { FindPrincipal, Principal } from './principal.js'
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
export { type SyncRoutes, syncRoutes } from './syncRoutes.js'
