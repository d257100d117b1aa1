export * from '../server/application.js'
export { health } from './health.js'
export { type FindPrincipal, type SyncRoutes, type SyncRoutesOptions, syncRoutes } from './syncRoutes.js'
