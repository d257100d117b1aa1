// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the source's text
// Remedies of versions of a schema.

import type { Mutant } from './mutants.js'

const wire = 'spec/server-koa/versions.spec.ts'
const stories = 'spec/stories/schemaVersions.spec.ts'

export const ofVersions: Mutant[] = [
  {
    name: 'older-rows-as-they-were-pushed',
    hazard: 'an older app’s edit of a renamed property is lost as one that nobody knows',
    file: 'server/push.ts',
    find: 'const lifted = yield* liftPush(log, push)',
    replace: 'const lifted = yield* liftPush(log, { ...push, caller: { principal: undefined, caller: undefined, rules: undefined } })',
    by: [wire],
  },
  {
    name: 'rows-lifted-whole',
    hazard: 'an older app’s edit overwrites what its version cannot tell apart',
    file: 'server/lift.ts',
    find: 'filter(([name, now]) => !equalValues(from[name], now))',
    replace: 'filter(([name]) => name !== undefined)',
    by: [wire],
  },
  {
    name: 'parts-lifted-alone',
    hazard: 'a step gets half a row',
    file: 'server/lift.ts',
    find: '{ ...before, ...posted }',
    replace: 'posted',
    by: [wire],
  },
  {
    name: 'lifted-rows-are-exact',
    hazard: 'an older app never reads what became of its push, and differs for good',
    file: 'server/lift.ts',
    find: 'const { since: _, ...answer } = outcome.answer',
    replace: 'const { answer } = outcome',
    by: [wire],
  },
  {
    name: 'contested-rows-of-today',
    hazard: 'an older app merges with a row of which it understands nothing',
    file: 'server/lift.ts',
    find: 'broughtDown(client, row.collection, [row])',
    replace: 'row',
    by: [wire],
  },
  {
    name: 'unliftable-rows-stored',
    hazard: 'a row that could not be lifted counts as pushed, and is lost',
    file: 'server/lift.ts',
    find: "if (failed.length) return { kind: 'rejected', rejections: failed }",
    replace: '',
    by: [wire],
  },
  {
    name: 'rejections-of-today',
    hazard: 'a rejection names a property that the app does not have',
    file: 'server/lift.ts',
    find: 'outcome.rejections.map(rejection => inTheirWords(client, rows, rejection))',
    replace: 'outcome.rejections',
    by: [wire],
  },
  {
    name: 'pages-and-etags-of-any-version',
    hazard: 'an updated app hears that nothing is new, of rows that it has never seen as they are',
    file: 'server/principal.ts',
    find: "client ? `${principal ?? ''}.v${client.version}` : principal",
    replace: 'client ? principal : principal',
    by: [wire],
  },
  {
    name: 'steps-down-in-the-order-of-up',
    hazard: 'an app that is two versions old gets what no version was',
    file: 'server/versions.ts',
    find: '[...(this.#steps.get(collection) ?? [])].reverse()',
    replace: '[...(this.#steps.get(collection) ?? [])]',
    by: [wire],
  },
  {
    name: 'newer-apps-are-served',
    hazard: 'an app that is newer than the server pushes what it would never be asked for again',
    file: 'server/versions.ts',
    find: 'if (asked > version) {',
    replace: 'if (asked > version * 1_000) {',
    by: [wire, stories],
  },
  {
    name: 'too-old-ends-a-push',
    hazard: 'a push that had arrived is forgotten when the app is too old, and conflicts with itself after the update',
    file: 'src/sync/http/reply.ts',
    find: 'const DEFINITE = new Set([307, 308, 400, 401, 403, 404, 405, 409, 413, 415, 422])',
    replace: 'const DEFINITE = new Set([307, 308, 400, 401, 403, 404, 405, 409, 413, 415, 422, 426])',
    by: [stories],
  },
  {
    name: 'too-old-asks-on',
    hazard: 'every device of an old version asks again and again for what it will never get',
    file: 'src/entity/keep/keeper.ts',
    find: 'const LASTING = [ClientTooOldError, ',
    replace: 'const LASTING = [',
    by: [stories],
  },
  {
    name: 'another-url-another-server',
    hazard: 'a device whose entity has another url reads and pushes everything, and brings removed rows back',
    file: 'src/changes/servers/servers.ts',
    find: '  yield* followMoves(addresses)\n',
    replace: '',
    by: [stories],
  },
  {
    name: 'version-unsaid-while-listening',
    hazard: 'a device that waits for news counts as one of the first version',
    file: 'src/entity/keep/liveFeed.ts',
    find: 'feedAddress(this.feed.url, query, schema)',
    replace: 'feedAddress(this.feed.url, query, undefined)',
    by: [stories],
  },
]
