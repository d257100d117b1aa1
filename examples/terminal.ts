// How `npm start` writes to the terminal. What it writes is given to it.

export type Print = (line: string) => void

const WIDTH = 100
const COLOURS = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 }
type Colour = keyof typeof COLOURS

/** Colours are for people at a terminal, unless they do not want them (https://no-color.org). */
let coloured = false
export const setColours = (yes: boolean) => {
  coloured = yes
}

export const paint = (colour: Colour, text: string) => (coloured ? `\u001b[${COLOURS[colour]}m${text}\u001b[0m` : text)

export function chapter(print: Print, number: number, title: string): void {
  print('')
  print(
    `${paint('dim', '──')} ${paint('bold', `${number}  ${title}`)} ${paint('dim', '─'.repeat(Math.max(0, WIDTH - title.length - String(number).length - 6)))}`,
  )
}

/** Lines up columns; numbers stand on the right. Only texts without colours have a width. */
export function table(print: Print, rows: readonly (readonly (string | number)[])[], colourOf?: (row: number) => Colour | undefined): void {
  const widths = rows[0]?.map((_, c) => Math.max(...rows.map(row => String(row[c]).length))) ?? []
  for (const [r, row] of rows.entries()) {
    const cells = row.map((cell, c) => (typeof cell === 'number' ? String(cell).padStart(widths[c]!) : cell.padEnd(widths[c]!)))
    const line = `   ${cells.join('  ').trimEnd()}`
    const colour = colourOf?.(r)
    print(colour ? paint(colour, line) : line)
  }
}

/** Breaks a long text between words, for messages of errors. */
export function paragraph(print: Print, text: string, indent = '   '): void {
  let line = indent
  for (const word of text.split(' ')) {
    if (line.length + word.length > WIDTH && line.trim() !== '') {
      print(line.trimEnd())
      line = indent
    }
    line += `${word} `
  }
  print(line.trimEnd())
}

export const count = (n: number, noun: string) => `${n} ${noun}${n === 1 ? '' : 's'}`
