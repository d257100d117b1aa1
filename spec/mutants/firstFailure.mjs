/** A reporter of jest that names a test as soon as it fails: who looks for one failure need not wait for the rest of the file. */
export default class FirstFailure {
  onTestCaseResult(_, { status, fullName }) {
    if (status === 'failed') console.log(`first failure: ${fullName}`)
  }
}
