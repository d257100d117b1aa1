// Something goes wrong with one of the next statements: the disk is full or busy, or a connection breaks.

import type { SimulatedDatabase } from './databases.js'
import type { World } from './world.js'

export class InjectedFault extends Error {}

export function injectFault(w: World, db: SimulatedDatabase): void {
  const { chance, next } = w.random
  let countdown = Math.floor(next() * 12)
  const isBusy = chance(0.3)
  const { other } = db
  const breaks = other !== undefined && chance(0.3)
  const losesCommit = other !== undefined && !breaks && chance(0.3)
  db.onError = () => {}
  db.fault = sql => {
    if (losesCommit ? sql !== 'COMMIT' : /^(ROLLBACK|RELEASE)/.test(sql) || countdown-- !== 0) return
    db.fault = undefined
    if (losesCommit || breaks) {
      w.reached.add(breaks ? 'connection broken' : 'commit without answer')
      w.trace(`  ${breaks ? 'connections of' : 'the answer to a commit on'} ${db.name} are lost: ${sql.slice(0, 40)}`)
      if (breaks) other.breakConnections()
      else other.losesCommit = true
      return
    }
    w.reached.add(isBusy ? 'database busy' : 'statement failed')
    // what PostgreSQL and MariaDB call it
    const codes = isBusy ? { code: '55P03', errno: 1205 } : { code: '53100', errno: 1021 }
    if (other) throw Object.assign(new InjectedFault(isBusy ? 'busy' : 'full'), codes)
    throw new InjectedFault(isBusy ? 'database is locked' : `SQLITE_FULL: ${sql.slice(0, 20)}`)
  }
}

export function endFault(db: SimulatedDatabase): void {
  db.fault = undefined
  db.onError = error => console.error(error)
}
