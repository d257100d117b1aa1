export { checkHealth, type Health } from '../server/health.js'
export { collectTombstones, forgetPushes, type MaintenanceOptions, maintain, renewHistory } from '../server/maintenance.js'
export type { Principal } from '../server/principal.js'
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
export { health } from './health.js'
export { type FindPrincipal, type SyncRoutes, type SyncRoutesOptions, syncRoutes } from './syncRoutes.js'
