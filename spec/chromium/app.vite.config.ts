// The web app of examples/web, built from the sources of the library as they are, not from the last build.

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { mergeConfig } from 'vite'
import app from '../../examples/web/vite.config.js'

const root = new URL('../../', import.meta.url)
const { paths } = JSON.parse(readFileSync(new URL('tsconfig.json', root), 'utf8')).compilerOptions

export default mergeConfig(app, {
  resolve: {
    alias: Object.entries<string[]>(paths).map(([name, [path]]) => ({
      find: new RegExp(`^${name}$`),
      replacement: fileURLToPath(new URL(path!, root)),
    })),
  },
})
