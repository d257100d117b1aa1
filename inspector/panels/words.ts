// What reasons and codes mean (docs/journal.md).

const REASONS: Readonly<Record<string, string>> = {
  contested: 'Both sides changed it.',
  'children-changed': 'The server has removed it, and rows that would go with it were changed here.',
  'parent-removed': 'It needs a row that was removed here.',
  cycle: 'Two moves together would close a circle.',
  'not-unique': 'Another row here has the value, which may be there once.',
  'parent-missing': 'It needs a row that is not here yet. Each sync tries it again.',
  'children-exist': 'The server has removed it, and rows here still need it. Each sync tries it again.',
  'not-valid': 'This database does not accept a value of it. Each sync tries it again.',
}

export const reasonOf = (reason: string) => REASONS[reason] ?? reason

const CODES: Readonly<Record<string, string>> = {
  'not-unique': 'Another row at the server has the value.',
  'not-valid': 'The server does not accept a value of it.',
  'no-access': 'The server does not show this row any more. The change comes back when it does.',
  'too-large': 'It is larger than the server accepts.',
  'not-allowed': 'A rule of the server forbids it.',
  skipped: 'The server did not store it, and gave no error.',
  'bad-id': 'The server cannot have such an id.',
  'children-exist': 'Rows at the server need it.',
  'parent-missing': 'It needs a row that the server does not have.',
  'children-unseen': 'Rows at the server that would go with it have changed. The next sync pushes it again.',
}

export const codeOf = (code: string) => CODES[code] ?? code

/** `3 rows need`, `1 row needs` */
export const count = (number: number, one: string, many: string) => `${number.toLocaleString('en')} ${number === 1 ? one : many}`
