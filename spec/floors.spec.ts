import { readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { describe, expect, test } from '@jest/globals'

/** From the top floor down: what the files below a path may import. The longest path that fits a file is its room. */
const MAY_IMPORT: Record<string, string[]> = {
  'server-koa/': ['server-koa/', 'server/'],
  'server/': ['server/', 'src/entity/registry.ts', 'src/changes/', 'src/databases/', 'src/protocol/', 'src/errors.ts'],
  // what any application may call
  'inspector/': ['inspector/', 'src/index.ts'],
  'browser/': ['browser/', 'src/entity/', 'src/databases/', 'src/errors.ts'],
  'src/index.ts': ['src/'],
  'src/react/': ['src/react/', 'src/entity/', 'src/sync/'],
  'src/entity/': ['src/entity/', 'src/sync/', 'src/changes/', 'src/databases/', 'src/protocol/', 'src/errors.ts'],
  'src/sync/': ['src/sync/', 'src/changes/', 'src/databases/', 'src/protocol/', 'src/errors.ts'],
  'src/changes/': ['src/changes/', 'src/databases/', 'src/protocol/', 'src/errors.ts'],
  'src/databases/': ['src/databases/', 'src/protocol/', 'src/errors.ts'],
  'src/protocol/': ['src/protocol/', 'src/errors.ts'],
  'src/errors.ts': [],
}

const NEVER: [from: RegExp, to: RegExp][] = [
  [/^src\/(sync\/apply\/merge\.ts|protocol\/)/, /^typeorm(\/|$)/],
  [/^src\/(?!react\/)/, /^(react(-dom)?(\/|$)|src\/react\/)/],
  [/^server\//, /^(koa$|@koa\/)/],
  [/^server\/pull\.ts/, /^server\/push\.ts/],
  [/^server\/push\.ts/, /^server\/pull\.ts/],
]

/** The imports of a file that go up, or sideways where that is forbidden, as 'from → to'. */
function badArrows(file: string, source: string): string[] {
  const rooms = Object.keys(MAY_IMPORT).filter(path => file.startsWith(path))
  const room = rooms.sort((a, b) => b.length - a.length)[0]
  if (!room) return [`${file} is in no room`]
  const isBad = (to: string) =>
    NEVER.some(([from, never]) => from.test(file) && never.test(to)) || (isOurs(to) && !MAY_IMPORT[room]!.some(path => to.startsWith(path)))
  const names = [...source.matchAll(/\b(?:from|import|require)\s*\(?\s*['"]([^'"]+)['"]/g)].map(([, name]) => resolve(file, name!))
  return names.filter(isBad).map(to => `${file} → ${to}`)
}

const OURS: Record<string, string> = {
  'typeorm-sync': 'src/index.ts',
  'typeorm-sync/react': 'src/react/index.ts',
  'typeorm-sync/browser': 'browser/index.ts',
  'typeorm-sync/server': 'server/index.ts',
  'typeorm-sync/inspector': 'inspector/index.ts',
  'typeorm-sync/server-koa': 'server-koa/index.ts',
}
const isOurs = (path: string) => /^(\.\.\/|src\/|browser\/|inspector\/|server\/|server-koa\/|spec\/|examples\/)/.test(path)
const resolve = (file: string, name: string) =>
  name.startsWith('.') ? posix.join(posix.dirname(file), name).replace(/\.js$/, '.ts') : (OURS[name] ?? name)

test('imports only go down', () => {
  const filesOf = (top: string) => readdirSync(top, { recursive: true }).map(name => posix.join(top, String(name).replaceAll('\\', '/')))
  const files = ['src', 'browser', 'inspector', 'server', 'server-koa'].flatMap(filesOf).filter(file => file.endsWith('.ts'))
  expect(files).toContain('src/index.ts')
  expect(files.flatMap(file => badArrows(file, readFileSync(file, 'utf8')))).toEqual([])
})

describe('the check sees', () => {
  test.each([
    ['src/protocol/messages.ts', 'typeorm', "import type { DataSource } from 'typeorm'"],
    ['src/sync/apply/merge.ts', 'typeorm/browser', "export * from 'typeorm/browser'"],
    ['src/sync/pull/pull.ts', 'src/entity/enableSync.ts', "import { enableSync } from '../../entity/enableSync.js'"],
    ['src/databases/sqlite/database.ts', 'src/changes/rows/rows.ts', "import { rows } from '../../changes/rows/rows.js'"],
    ['src/errors.ts', 'server-koa/index.ts', "await import('typeorm-sync/server-koa')"],
    ['src/entity/letGo.ts', 'browser/saver.ts', "import { Saver } from '../../browser/saver.js'"],
    ['server/live.ts', 'src/entity/syncedEntity.ts', "import {\n  a,\n} from '../src/entity/syncedEntity.js'"],
    ['server/body.ts', 'koa', "import type { Context } from 'koa'"],
    ['server/pull.ts', 'server/push.ts', "import './push.js'"],
    ['inspector/view.ts', 'src/entity/registry.ts', "import { changeLogOf } from '../src/entity/registry.js'"],
    ['src/index.ts', 'src/react/index.ts', "export * from './react/index.js'"],
  ])('%s → %s', (file, to, source) => expect(badArrows(file, source)).toEqual([`${file} → ${to}`]))
})
