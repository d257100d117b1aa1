/** One plain line for CI. A spec file that could not run counts as a failure: its tests were never seen. */
export default class SummaryReporter {
  onRunComplete(_contexts, results) {
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites
    const skipped = results.numPendingTests > 0 ? `, ${results.numPendingTests} skipped` : ''
    console.log(`${results.numPassedTests} passed, ${failed} failed${skipped}`)
  }
}
