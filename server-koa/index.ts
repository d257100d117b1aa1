export { checkHealth, type Health, health } from '../server/health.js'
export { collectTombstones, forgetPushes, type MaintenanceOptions, maintain, renewHistory } from '../server/maintenance.js'
export type { SyncRoutesOptions } from '../server/options.js'
export type { FindPrincipal, Principal } from '../server/principal.js'
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
} from '../server/rules.js'
export { type SyncRoutes, syncRoutes } from './syncRoutes.js'
