// Processes that share a file need the disk: their specs come last, when those of the databases are done.
const { default: Sequencer } = require('@jest/test-sequencer')

module.exports = class extends Sequencer {
  async sort(tests) {
    const sorted = await super.sort(tests)
    const isLast = ({ path }) => path.includes('/spec/processes/')
    return [...sorted.filter(test => !isLast(test)), ...sorted.filter(isLast)]
  }
}
