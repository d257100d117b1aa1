// Remedies of servers of 2011.

import type { Mutant } from './mutant.js'

const oldServers = 'spec/stories/oldServer.spec.ts'

export const withOldServers: Mutant[] = [
  {
    name: 'parts-for-old-servers',
    hazard: 'a server of 2011 gets a part of a row',
    file: 'src/sync/push/describePush.ts',
    find: '  if (server.serverHistory === null) return { id, value, partial: false }\n',
    replace: '',
    by: [oldServers],
  },
  {
    name: 'undecided-is-abandoned',
    hazard: 'an unanswered push to a server of 2011: what comes back as it was sent is ours',
    file: 'src/sync/push/finishPush.ts',
    find: '      await leaveUndecided(session, push)',
    replace: '      await endPush(session, push)',
    by: [oldServers],
  },
  {
    name: 'sent-and-removed-is-forgotten',
    hazard: 'a row that was made, sent and removed while the push was undecided comes back when the push arrives late',
    file: 'src/sync/pull/answer.ts',
    find: '    if (gone.length) yield* applyDecided(',
    replace: '    if (gone.length < 0) yield* applyDecided(',
    by: [oldServers],
  },
  {
    name: 'as-it-was-is-not-pushed',
    hazard: 'an unanswered push to a server of 2011: a row that is as it was again may be another one there',
    file: 'src/sync/push/describePush.ts',
    find: '  if (server.serverHistory === null) return { id, value, partial: false }\n',
    replace: '',
    by: [oldServers],
  },
  {
    name: 'shown-in-part',
    hazard: 'an unanswered push to a server of 2011, and others changed other properties of the row since',
    file: 'src/sync/pull/undecided.ts',
    find: 'return { base: count ? { ...base, ...shown } : base, isShown: count > 0 }',
    replace: 'return { base, isShown: false }',
    by: [oldServers],
  },
  {
    name: 'shown-is-forgotten',
    hazard: 'an unanswered push whose row is contested: what it shows of ours is no conflict with oneself',
    file: 'src/sync/apply/decideRows.ts',
    find: 'if (known.base && known.isShown) yield*',
    replace: 'if (known.base && known.isShown && id.length < 0) yield*',
    by: [oldServers],
  },
  {
    name: 'rounded-dates',
    hazard: 'a server of 2011 keeps dates as seconds: a rounded one is no change of another client',
    file: 'src/sync/pull/undecided.ts',
    find: 'Math.abs(dateToNumber(ours[p]) - dateToNumber(remote[p])) < 1',
    replace: 'dateToNumber(ours[p]) === dateToNumber(remote[p])',
    by: ['spec/stories/oldServerRandom.spec.ts'],
  },
  {
    name: 'no-overlap',
    hazard: 'a server of 2011 reads its clock after its rows',
    file: 'src/sync/pull/question.ts',
    find: 'Math.max(0, date - OVERLAP)',
    replace: 'Math.max(0, date)',
    by: [oldServers],
  },
  {
    name: 'overlap-is-a-change',
    hazard: 'what a server of 2011 sends again is no change',
    file: 'src/sync/apply/decideRows.ts',
    find: '    if (server.serverHistory === null && !state.unapplied && base !== undefined && isSameRow(remote, base)) continue\n',
    replace: '',
    by: [oldServers],
  },
  {
    name: 'clock-went-back',
    hazard: 'a server whose `now` lies below the `since` that was asked',
    file: 'src/sync/pull/answerCheck.ts',
    find: '    if (now < since && !reset)',
    replace: '    if (now < 0 && !reset)',
    by: [oldServers],
  },
  {
    name: 'status-error',
    hazard: 'a rejection of a server of 2011 has its text',
    file: 'src/sync/http/reply.ts',
    find: "?.status === 'error') throw rejection(reply)",
    replace: "?.status === 'rejected') throw rejection(reply)",
    by: [oldServers],
  },
]
