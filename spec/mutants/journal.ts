// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the source's text
// The remedies of the journal, and of conflicts that are decided there.

import type { Mutant } from './mutants.js'

const journal = 'spec/stories/journal.spec.ts'
const journalMoments = 'spec/stories/journalMoments.spec.ts'
const journalChildren = 'spec/stories/journalChildren.spec.ts'

export const inTheJournal: Mutant[] = [
  {
    name: 'given-up-while-told',
    hazard: '`giveUp` of a row that an unanswered push carries',
    file: 'src/sync/take.ts',
    find: 'if (!isInPush(remote, state)) yield*',
    replace: 'if (state) yield*',
    by: [journalMoments],
  },
  {
    name: 'told-back-is-not-pending',
    hazard: 'a row as it was before an unanswered push is pending while that push may have arrived',
    file: 'src/sync/pending.ts',
    find: '  return remote.push !== null && images.some(',
    replace: '  return false && images.some(',
    by: [journalMoments],
  },
  {
    name: 'given-up-stays-waiting',
    hazard: 'what was given up does not wait any more',
    file: 'src/sync/take.ts',
    find: '    decided.filter(d => d.state.waiting).map(d => d.state.id),',
    replace: '    decided.filter(d => d.state.waiting && !isSameRow(d.value, d.theirs)).map(d => d.state.id),',
    by: [journal],
  },
  {
    name: 'retry-moves-what-waits',
    hazard: 'a handler that is being asked about a row decides it, though a retry of the row came between',
    file: 'src/sync/refusals.ts',
    find: 's.rejection?.stamp === s.version.stamp && !s.waiting)',
    replace: 's.rejection?.stamp === s.version.stamp)',
    by: [journal],
  },
  {
    name: 'children-go-without-a-word',
    hazard: '`giveUp` and `decide(id, null)` of a parent with children that were never pushed',
    file: 'src/sync/journal.ts',
    find: '    if (lost.size) refuseChildren(',
    replace: '    if (false) refuseChildren(',
    by: [journalChildren],
  },
  {
    name: 'children-go-unwritten',
    hazard: 'whatever takes rows along that were never pushed leaves a decision that can be undone',
    file: 'src/sync/journal.ts',
    find: '  yield* writeUnpushed(unpushed, remote.url)\n',
    replace: '',
    by: [journalChildren],
  },
  {
    name: 'own-removal-is-the-servers',
    hazard: 'what goes along with a removal that the server has not made is news as well',
    file: 'src/sync/journal.ts',
    find: 'isOurs ? { ...exchange, siblings: new Map() } : exchange',
    replace: 'exchange',
    by: [journalChildren],
  },
  {
    name: 'edited-while-waiting-is-no-change',
    hazard: 'hasLocalChanges is never a false no: a row may be edited while it waits',
    file: 'src/sync/pending.ts',
    find: 'state.version.stamp > 0 && !isClean(exchange, state)',
    replace: 'false',
    by: [journalChildren],
  },
]
