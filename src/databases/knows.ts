// SQL for «the server knows this version», of a server `r`, a row of sync_server. In JavaScript it is `isAgreed` of changes/servers/agreement.ts;
// spec/databases/knows.spec.ts holds the two together.

/** Which version of a row: SQL for its id and its stamp. */
export interface VersionSql {
  readonly id: string
  readonly stamp: string
}

/** Marks a trigger as ours, in its text. */
export const TRIGGER_MARK = '/* typeorm-sync */'

/** SQL for a text. */
export const text = (value: string) => `'${value.replaceAll("'", "''")}'`

/** The version lies at or before the place up to which everything was pushed. */
export const isUpToSql = ({ id, stamp }: VersionSql) =>
  `(${stamp} < r.pushed_stamp OR (${stamp} = r.pushed_stamp AND ${id} <= r.pushed_id))`

/** The server knows the version. */
export const isKnownSql = (version: VersionSql) => known(version, '')

/** The server knows the version, or a push that is under way carries it: whether that arrives is not known yet. */
export const isKnownOrInPushSql = ({ id, stamp }: VersionSql) =>
  known({ id, stamp }, ` OR (r.push_key IS NOT NULL AND (${stamp} < r.push_stamp OR (${stamp} = r.push_stamp AND ${id} <= r.push_id)))`)

const known = (version: VersionSql, orInPush: string) => `(
        ${isUpToSql(version)}${orInPush}
        OR EXISTS (SELECT 1 FROM sync_stamp m WHERE m.server = r.id AND m.stamp = ${version.stamp})
      )
      AND NOT EXISTS (SELECT 1 FROM sync_unapplied c WHERE c.server = r.id AND c.id = ${version.id} AND c.unpushed = ${version.stamp})
      AND NOT EXISTS (SELECT 1 FROM sync_rejection j WHERE j.server = r.id AND j.id = ${version.id} AND j.stamp = ${version.stamp})
      AND NOT EXISTS (SELECT 1 FROM sync_no_access unseen WHERE unseen.server = r.id AND unseen.id = ${version.id})`
