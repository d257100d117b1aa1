// The snippets of README.md.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export const root = join(__dirname, '..', '..')
export const readme = readFileSync(join(root, 'README.md'), 'utf8')

export interface Snippet {
  /** `ts`, `sh`, … */
  readonly language: string
  /** `client.ts`, where the first line is `// client.ts`; others import it by that name. */
  readonly file: string | undefined
  /** The headings that it stands under, the nearest last. */
  readonly headings: readonly string[]
  readonly code: string
  readonly line: number
}

export function snippetsOf(markdown: string): Snippet[] {
  const snippets: Snippet[] = []
  const headings: string[] = []
  let open: { language: string; line: number; lines: string[] } | undefined
  for (const [index, text] of markdown.split('\n').entries()) {
    const fence = /^```(\w*)/.exec(text)
    if (open && fence) {
      const file = /^\/\/ (\w+\.ts)/.exec(open.lines[0] ?? '')?.[1]
      snippets.push({ language: open.language, file, headings: [...headings], code: open.lines.join('\n'), line: open.line })
      open = undefined
    } else if (open) open.lines.push(text)
    else if (fence) open = { language: fence[1]!, line: index + 1, lines: [] }
    else {
      const [, level, title] = /^(#+) (.*)/.exec(text) ?? []
      if (level) headings.splice(level.length - 1, headings.length, title!)
    }
  }
  return snippets
}

export const snippets = snippetsOf(readme)
