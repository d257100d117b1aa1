// The hazards of requests and rows, again where the server has no feed, and is synced collection by collection.

import { describe, jest } from '@jest/globals'

const STORIES = ['cursors', 'pushes', 'rows', 'values', 'gateways', 'descendants']

process.env.SYNC_WIRE = 'routes'
// what it does after each test it would do for the first of the stories alone
jest.requireActual('./world.js')
for (const story of STORIES) describe(story, () => void jest.requireActual(`./${story}.spec.js`))
