import { test } from '@jest/globals'
import { openProfile, openTab } from '../support/chromium.js'
import { serveTasks } from '../support/taskServer.js'
import { sleep } from '../support/until.js'
import type { kept } from './pages/kept.js'

test('x', async () => {
  const server = await serveTasks('kept')
  const context = await openProfile()
  const openKept = () => openTab<typeof kept>(context, `${server.url}/kept`)
  const [first, second] = [await openKept(), await openKept()]
  first.page.on('console', m => console.log('first', m.text()))
  second.page.on('console', m => console.log('second', m.text()))
  await first.call.open({ debounce: 60_000 })
  await first.call.keepSynced()
  await first.call.add('Written before')
  await first.page.evaluate(() => {
    const c = new BroadcastChannel('typeorm-sync/tasks')
    c.onmessage = e => console.log('heard', JSON.stringify(e.data), performance.now())
    navigator.locks.query().then(q => console.log(JSON.stringify(q)))
  })
  console.log(await second.call.open())
  const t = Date.now()
  console.log(await second.call.open({ takeOver: true }), Date.now() - t)
  await sleep(1000)
  console.log(await first.call.isTakenOver(), first.errors)
  await server.close()
})
