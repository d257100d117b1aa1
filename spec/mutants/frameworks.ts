// A server for any framework: what each adapter has to see to.

import type { Mutant } from './mutant.js'

const fetched = 'spec/server/fetch.spec.ts'
const node = 'spec/server/node.spec.ts'

export const ofFrameworks: Mutant[] = [
  {
    name: 'starting-is-404',
    hazard: 'A server that starts says that there is no such collection, and clients believe it',
    file: 'server/serve.ts',
    find: "kind: path === FEED || isRegistered(url => pathOf(url) === path) ? 'likely' : 'unlikely'",
    replace: "kind: 'unlikely'",
    by: [node],
  },
  {
    name: 'others-are-404',
    hazard: 'Routes behind the handler are never asked',
    file: 'server/node.ts',
    find: '    if (next && isForOthers(found)) return next()\n',
    replace: '',
    by: [node],
  },
  {
    name: 'a-bad-header-ends-the-process',
    hazard: 'An error of node:http while an answer is sent is a rejection that nobody handles',
    file: 'server/node.ts',
    find: '      breakOff(req, res)\n    }\n    discardRest',
    replace: '      throw error\n    }\n    discardRest',
    by: [node],
  },
  {
    name: 'listeners-that-left-early',
    hazard: 'A client leaves while the first news are read: its stream is kept, for nobody',
    file: 'server/eventStream.ts',
    find: '    if (signal.aborted) out.destroy()\n',
    replace: '',
    by: [fetched],
  },
  {
    name: 'waits-for-who-left-early',
    hazard: 'A client leaves before its GET waits: it is waited for to the end',
    file: 'server/hold.ts',
    find: '  if (signal.aborted) end()\n',
    replace: '',
    by: [fetched],
  },
  {
    name: 'fetch-waits-for-readers',
    hazard: 'A Response that nobody reads keeps its place in the database for ever',
    file: 'server/fetch.ts',
    find: '      if (idleTimeout) timer =',
    replace: '      if (!idleTimeout) timer =',
    by: [fetched],
  },
  {
    name: 'fetch-drains-bodies',
    hazard: 'A body of a Request that was given up is read to its end, which may never come',
    file: 'server/readBody.ts',
    find: '      if (req !== body) req.destroy()\n',
    replace: '',
    by: [fetched],
  },
  {
    name: 'a-body-that-was-read-is-empty',
    hazard: 'A Request whose body something has read is a push of nothing',
    file: 'server/fetch.ts',
    find: "bodyUsed ? undefined : (request.body ?? '')",
    replace: "(bodyUsed ? undefined : request.body) ?? '[]'",
    by: [fetched],
  },
]
