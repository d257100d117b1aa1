import { relative } from 'node:path'

/** One plain line for CI, and which suites were left out. A spec file that could not run counts as a failure: its tests were never seen. */
export default class SummaryReporter {
  onRunComplete(_contexts, results) {
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites
    const skipped = results.numPendingTests > 0 ? `, ${results.numPendingTests} skipped` : ''
    // all of a suite, for its database or browser is not there; where single specs are chosen by name there is nothing to tell
    const isLeftOut = ({ numPassingTests, numFailingTests, numPendingTests }) =>
      numPendingTests > 0 && numPassingTests + numFailingTests === 0
    const suites = results.testResults.filter(isLeftOut).map(({ testFilePath }) => relative(process.cwd(), testFilePath))
    const needsChromium = suite => suite.startsWith('spec/chromium/')
    tell('Chromium', suites.filter(needsChromium))
    tell(
      'PostgreSQL or MariaDB',
      suites.filter(suite => !needsChromium(suite)),
    )
    console.log(`${results.numPassedTests} passed, ${failed} failed${skipped}`)
  }
}

function tell(lacking, suites) {
  if (suites.length) console.log(`Left out, for ${lacking} is not there: ${suites.sort().join(', ')}`)
}
