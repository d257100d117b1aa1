// Breaks the database of a trial from outside, so that the trial has to fail. The clock is unprotected in two ways:
//   lock   the stamp is given, and `now` moves, without a lock that is held until the transaction ends, as with a sequence
//   order  the lock is held and `now` moves, but the stamp is from the beginning of the transaction (MariaDB: of the statement), as with CURRENT_TIMESTAMP
// And the servers in a third (server.ts):
//   snapshot  clock and rows are read at different moments

import type { Kind, Session } from './database.js'

export async function breakDatabase(session: Session, kind: Kind, how: string): Promise<void> {
  if (how === 'snapshot') return // a matter of the server
  if (how !== 'lock' && how !== 'order') throw new Error(`--break lock, order or snapshot, not ${how}`)
  if (kind === 'mysql') return how === 'lock' ? breakMysqlLock(session) : breakMysqlOrder(session)
  const [clock] = await session.query('SELECT now FROM sync_clock')
  if (how === 'lock') {
    await session.query(`CREATE SEQUENCE broken_stamp START WITH ${Number(clock?.now) + 1}`)
    await session.query('ALTER TABLE sync_clock RENAME TO broken_clock')
    await session.query(`CREATE VIEW sync_clock AS
      SELECT timeline, (SELECT last_value FROM broken_stamp) AS now, collection, horizon FROM broken_clock`)
    await session.query(`CREATE FUNCTION move_broken_clock() RETURNS trigger LANGUAGE plpgsql AS
      'BEGIN NEW.now := nextval(''broken_stamp''); RETURN NEW; END'`)
    await session.query('CREATE TRIGGER move INSTEAD OF UPDATE ON sync_clock FOR EACH ROW EXECUTE FUNCTION move_broken_clock()')
  }
  const stamp = how === 'lock' ? `nextval('broken_stamp')` : '(extract(epoch FROM transaction_timestamp()) * 1000)::bigint'
  const [tick] = await session.query(`SELECT pg_get_functiondef(to_regproc('sync_tick')) AS sql`)
  const sql = String(tick?.sql)
  const update = /UPDATE sync_clock SET [^;]* RETURNING now INTO ticked;/
  if (!update.test(sql)) throw new Error(`the tick is not what it was: ${sql}`)
  await session.query(
    sql.replace(update, found =>
      how === 'lock' ? `ticked := ${stamp};` : `${found.replace(' RETURNING now INTO ticked', '')} ticked := ${stamp};`,
    ),
  )
}

// The servers read `now` from the sequence, and get their own stamps from it (server.ts).
async function breakMysqlLock(session: Session): Promise<void> {
  const [clock] = await session.query('SELECT `now` FROM sync_clock')
  await session.query(`CREATE SEQUENCE broken_stamp START WITH ${Number(clock?.now) + 1} NOCACHE`)
  await replaceTriggers(session, body =>
    body
      .replace(/UPDATE sync_clock SET [^;]*;/g, 'SET @broken_stamp = NEXTVAL(broken_stamp);')
      .replaceAll('(SELECT `now` FROM sync_clock)', '@broken_stamp'),
  )
}

/** Where the servers of a broken MariaDB find what they read in the clock. */
export const unlockedSql = (sql: string) =>
  sql
    .replace(/^SELECT `now`, (?=.*horizon FROM sync_clock)/s, 'SELECT (SELECT next_not_cached_value - 1 FROM broken_stamp) AS `now`, ')
    .replace(/^UPDATE sync_clock SET `now` = .*/s, 'UPDATE sync_clock SET `now` = NEXTVAL(broken_stamp)')

// NOW() is when the statement began: it may have waited for the lock since. A plain SELECT would do no harm, for a trigger reads with locks.
const breakMysqlOrder = (session: Session) =>
  replaceTriggers(session, body =>
    body.replace(/SET NEW\.`_lastChange` = [^;]*;/, 'SET NEW.`_lastChange` = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED);'),
  )

async function replaceTriggers(session: Session, breakBody: (body: string) => string): Promise<void> {
  const triggers = await session.query(
    `SELECT TRIGGER_NAME AS name, ACTION_TIMING AS timing, EVENT_MANIPULATION AS event, EVENT_OBJECT_TABLE AS place, ACTION_STATEMENT AS body
       FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE() AND TRIGGER_NAME LIKE 'sync%'`,
  )
  let broken = 0
  for (const { name, timing, event, place, body } of triggers) {
    const other = breakBody(String(body))
    if (other === body) continue
    broken++
    await session.query(`DROP TRIGGER \`${name}\``)
    await session.query(`CREATE TRIGGER \`${name}\` ${timing} ${event} ON \`${place}\` FOR EACH ROW ${other}`)
  }
  if (!broken) throw new Error('the triggers are not what they were')
}
