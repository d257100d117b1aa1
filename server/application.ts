// What an application calls beside the handler, in whatever framework.

export { checkHealth, type Health } from './health.js'
export { collectTombstones, forgetPushes, type MaintenanceOptions, maintain, renewHistory } from './maintenance.js'
export type { Principal } from './principal.js'
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
export type { SchemaStep, SchemaVersions, VersionedRow } from './versions.js'
