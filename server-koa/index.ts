export { checkHealth, type Health, health } from './health.js'
export { collectTombstones, forgetPushes, type MaintenanceOptions, maintain, renewHistory } from './maintenance.js'
export type { FindPrincipal, Principal } from './principal.js'
export { type SyncRoutes, type SyncRoutesOptions, syncRoutes } from './syncRoutes.js'
