// README.md and the pages of docs/, and their snippets, in the order in which a reader meets them.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export const root = join(__dirname, '..', '..')

/** In this order: a snippet uses what those before it have made. */
const NAMES = [
  'README.md',
  'docs/getting-started.md',
  'docs/browser.md',
  'docs/before-you-ship.md',
  'docs/concepts.md',
  'docs/conflicts.md',
  'docs/journal.md',
  'docs/options-and-errors.md',
  'docs/server.md',
  'docs/users.md',
  'docs/frameworks.md',
  'docs/operations.md',
  'docs/old-servers.md',
  'docs/schemas.md',
  'docs/versions.md',
  'docs/limitations.md',
  'docs/troubleshooting.md',
  'docs/how-it-works.md',
  'docs/testing.md',
  'docs/performance.md',
  'docs/comparison.md',
  // what it keeps in sync would be synced under the others
  'docs/live.md',
  'docs/watching.md',
  'docs/inspector.md',
  'docs/example-app.md',
  'PROTOCOL.md',
]

export interface Page {
  /** `docs/journal.md` */
  readonly name: string
  readonly text: string
}

export const pageNamed = (name: string): Page => ({ name, text: readFileSync(join(root, name), 'utf8') })
export const pages: readonly Page[] = NAMES.map(pageNamed)

export interface Snippet {
  /** The name of its page. */
  readonly page: string
  /** `ts`, `sh`, … */
  readonly language: string
  /** `client.ts`, where the first line is `// client.ts`; others import it by that name. */
  readonly file: string | undefined
  /** The heading that it stands under. */
  readonly heading: string
  readonly code: string
  readonly line: number
}

function snippetsOf({ name: page, text: markdown }: Page): Snippet[] {
  const snippets: Snippet[] = []
  let heading = ''
  let open: { language: string; line: number; lines: string[] } | undefined
  for (const [index, text] of markdown.split('\n').entries()) {
    const fence = /^```(\w*)/.exec(text)
    if (open && fence) {
      const file = /^\/\/ (\w+\.ts)/.exec(open.lines[0] ?? '')?.[1]
      snippets.push({ page, language: open.language, file, heading, code: open.lines.join('\n'), line: open.line })
      open = undefined
    } else if (open) open.lines.push(text)
    else if (fence) open = { language: fence[1]!, line: index + 1, lines: [] }
    else heading = /^#+ (.*)/.exec(text)?.[1] ?? heading
  }
  return snippets
}

export const snippets = pages.flatMap(snippetsOf)

/** Has it to run in a browser? spec/chromium/docs.spec.ts does that. */
export const needsBrowser = ({ code }: Snippet) => /'typeorm-sync\/browser'|'\.\/(database|browser)\.js'/.test(code)
