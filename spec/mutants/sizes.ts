// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the source's text
// Remedies of sizes and times.

import type { Mutant } from './mutant.js'

const checks = 'spec/protocol/checks.spec.ts'
const largeAnswers = 'spec/stories/largeAnswers.spec.ts'

export const ofSizes: Mutant[] = [
  {
    name: 'ids-that-no-database-stores',
    hazard: 'a server sends an id with a NUL: a raw ConstraintError on PostgreSQL, at every sync',
    file: 'src/protocol/updates.ts',
    find: "if (id.includes('\\0') || /\\p{Surrogate}/u.test(id))\n    throw",
    replace: "if (id === '\\0')\n    throw",
    by: [checks],
  },
  {
    name: 'pages-stay-as-large',
    hazard: 'a page that does not arrive in time is asked for smaller',
    file: 'src/sync/pull/pageReader.ts',
    find: 'Math.max(1, Math.floor(this.#limit / 4))',
    replace: 'this.#limit',
    by: [largeAnswers],
  },
  {
    name: 'pages-grow-on-a-slow-line',
    hazard: 'a page that is twice as large may not arrive in time, or be too large',
    file: 'src/sync/pull/pageReader.ts',
    find: 'if (!isNearLimit) this.#limit =',
    replace: 'this.#limit =',
    by: [largeAnswers],
  },
  {
    name: 'answers-without-a-bound',
    hazard: 'answers are bounded by bytes',
    file: 'src/sync/http/body.ts',
    find: '      if (parser.bytes <= largest) continue\n',
    replace: '      if (parser.bytes >= 0) continue\n',
    by: [largeAnswers],
  },
  {
    name: 'pushes-are-read-whole',
    hazard: 'pages and batches are counted in rows, and rows are megabytes',
    file: 'src/sync/push/localChanges.ts',
    find: '    bytes: LARGEST_READ,\n',
    replace: '',
    by: [largeAnswers],
  },
  {
    name: 'next-for-ever',
    hazard: 'a server that repeats its `next` is asked without end',
    file: 'src/sync/pull/answerCheck.ts',
    find: 'if (next !== undefined && this.#turned.has(next))',
    replace: 'if (next !== undefined && this.#turned.size > 1_000)',
    by: [largeAnswers],
  },
  {
    name: 'size-is-unpushed',
    hazard: 'a row larger than the limits is set aside with its size',
    file: 'src/sync/push/sendPush.ts',
    find: 'The row has ${new TextEncoder().encode(body).length - 2} bytes as JSON. ',
    replace: '',
    by: [largeAnswers],
  },
]
