// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the source's text
// The remedies of the journal, and of conflicts that are decided there.

import type { Mutant } from './mutants.js'

const journal = 'spec/stories/journal.spec.ts'
const journalMoments = 'spec/stories/journalMoments.spec.ts'
const circles = 'spec/stories/circles.spec.ts'
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
  {
    name: 'circles-are-stored',
    hazard: 'two devices move two folders into each other: one conflict for the knot',
    file: 'src/sync/moves.ts',
    find: '      contested.add(circle',
    replace: '      if (circle.length < 0) contested.add(circle',
    by: [circles],
  },
  {
    name: 'every-circle-is-contested',
    hazard: 'a circle that one side has made is no conflict',
    file: 'src/sync/moves.ts',
    find: '      if (!(yield* readOwnMoves(exchange, tree, others)).length) continue',
    replace: '      yield* readOwnMoves(exchange, tree, others)',
    by: [circles],
  },
  {
    name: 'held-moves-are-nothing-of-ours',
    hazard: 'a move that is held back closes a circle as well as one that is to be told',
    file: 'src/sync/moves.ts',
    find: '  return waiting || refused\n',
    replace: '  return waiting && !refused\n',
    by: [circles],
  },
  {
    name: 'moves-are-told-meanwhile',
    hazard: 'while the knot waits for a word, our move would tie it on the server',
    file: 'src/sync/push.ts',
    find: '  yield* holdMoves(exchange)\n',
    replace: '',
    by: [circles],
  },
  {
    name: 'both-moves-are-taken',
    hazard: 'whoever takes the server’s move gives up ours, which would close a circle with it',
    file: 'src/sync/conflicts.ts',
    find: '        yield* giveUpMoves(exchange, id, value)\n',
    replace: '',
    by: [circles],
  },
  {
    name: 'journal-takes-both-moves',
    hazard: 'whoever takes the server’s move gives up ours, which would close a circle with it',
    file: 'src/sync/journal.ts',
    find: '    yield* giveUpMoves(exchange, id, value)\n',
    replace: '',
    by: [circles],
  },
  {
    name: 'unseen-circles-are-stored',
    hazard: 'a move that arrives between the sender’s pull and its push ties the knot on the server',
    file: 'server-koa/circles.ts',
    find: ' if (version.stamp > since) unseen.set(id, version)',
    replace: ' if (version.stamp < 0) unseen.set(id, version)',
    by: [circles],
  },
  {
    name: 'own-parent-is-missing',
    hazard: 'walks remember: a row that is its own parent',
    file: 'src/sync/conflicts.ts',
    find: 'new Set([`${exchange.collection.name} ${id}`])',
    replace: 'new Set<string>()',
    by: [circles],
  },
  {
    name: 'friends-are-folders',
    hazard: 'a self-reference that may run in circles is never contested for it',
    file: 'src/changes/cycles.ts',
    find: ' && !r.isCyclic',
    replace: '',
    by: [circles],
  },
]
