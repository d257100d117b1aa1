// The remedies of docs/how-it-works.md and of the model, each as what stands in the source, and what would stand there without it.
//
// A mutant whose text is not found exactly once stops the runner: where the source moves, the list moves along.

import { applying } from './apply.js'
import { storingRows } from './applyStore.js'
import { onTheServer } from './attacks.js'
import { ofBrowsers } from './browser.js'
import { ofExits } from './exits.js'
import { onTheFeed } from './feed.js'
import { ofFrameworks } from './frameworks.js'
import { ofTheInspector } from './inspector.js'
import { inTheJournal } from './journal.js'
import { ofKeys } from './keys.js'
import { ofLeaving } from './leaving.js'
import { ofLive } from './live.js'
import type { Mutant } from './mutant.js'
import { ofNumbers } from './numbers.js'
import { withOldServers } from './oldServers.js'
import { ofOrder } from './order.js'
import { withOtherVersions } from './otherVersions.js'
import { pushing } from './push.js'
import { notingChanges } from './pushChanges.js'
import { storingPushes } from './pushServer.js'
import { ofSchemas } from './schemas.js'
import { scopes } from './scopes.js'
import { ofSizes } from './sizes.js'
import { ofUsers } from './users.js'
import { ofValues } from './values.js'
import { ofVersions } from './versions.js'
import { ofWatching } from './watch.js'

export const mutants: readonly Mutant[] = [
  ...ofOrder,
  ...pushing,
  ...storingPushes,
  ...notingChanges,
  ...applying,
  ...storingRows,
  ...ofSizes,
  ...withOtherVersions,
  ...withOldServers,
  ...ofValues,
  ...onTheServer,
  ...inTheJournal,
  ...ofTheInspector,
  ...onTheFeed,
  ...ofExits,
  ...ofUsers,
  ...ofLeaving,
  ...ofLive,
  ...ofWatching,
  ...ofKeys,
  ...ofVersions,
  ...ofSchemas,
  ...ofNumbers,
  ...ofBrowsers,
  ...ofFrameworks,
  ...scopes,
]
