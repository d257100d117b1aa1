// The remedies of the inspector.

import type { Mutant } from './mutant.js'

const inspector = 'spec/chromium/inspector.spec.ts'
const forAll = 'spec/chromium/inspectorForAll.spec.ts'

export const ofTheInspector: Mutant[] = [
  {
    name: 'decides-what-was-not-seen',
    hazard: 'a row changes while a person looks at its conflict, and is decided as it was',
    file: 'inspector/panels/conflicts.ts',
    find: 'if (printOf(now) !== printOf(conflict)) throw',
    replace: 'if (!now) throw',
    by: [inspector],
  },
  {
    name: 'shown-as-it-is-spelled',
    hazard: 'two values that differ in what cannot be seen look the same, and a text turns the direction of what follows it',
    file: 'inspector/values.ts',
    find: 'const text = visible(textOf(value))',
    replace: 'const text = textOf(value)',
    by: [inspector],
  },
  {
    name: 'made-anew-each-time',
    hazard: 'what is half typed or chosen is gone when the list is read again',
    file: 'inspector/dom.ts',
    find: 'if (known?.print === print) return known.element',
    replace: 'void print',
    by: [forAll],
  },
  {
    name: 'focus-is-lost',
    hazard: 'the row that had the focus is gone, and who uses the keyboard begins at the top of the page',
    file: 'inspector/dom.ts',
    find: 'if (place >= 0 && !focused?.isConnected)',
    replace: 'if (place < -1)',
    by: [forAll],
  },
]
