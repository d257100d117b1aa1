// Serves pages to the browser: bundles of spec/chromium/pages, and a sync server beside them.

import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, isAbsolute, join } from 'node:path'
import { promisify } from 'node:util'
import Koa from 'koa'
import { root } from './readme.js'

const FLAGS = ['--bundle', '--splitting', '--format=esm', '--platform=browser', '--target=es2022', '--keep-names', '--sourcemap=inline']

/** Bundles TypeScript files, named from the root of the project or by their whole paths, into a folder, as an application's bundler does. */
async function bundle(files: readonly string[], folder: string): Promise<void> {
  const bundler = join(root, 'node_modules', 'esbuild', 'bin', 'esbuild')
  // the packages of files that are elsewhere are those of the project
  const env = { ...process.env, NODE_PATH: join(root, 'node_modules') }
  const more = [`--outdir=${folder}`, '--entry-names=[name]', `--tsconfig=${join(root, 'tsconfig.json')}`]
  await promisify(execFile)(bundler, [...files, ...FLAGS, ...more], { cwd: root, env })
}

export interface Site {
  /** Where `pages/device.ts` is the page `${url}/device`. */
  readonly url: string
  close(): Promise<void>
}

/** Serves these pages, of spec/chromium/pages or by their whole paths; sql.js's wasm, and by `routes` whatever else, all at one origin. */
export async function servePages(pages: readonly string[], routes: readonly Koa.Middleware[] = []): Promise<Site> {
  const folder = mkdtempSync(join(tmpdir(), 'pages-'))
  await bundle(
    pages.map(page => (isAbsolute(page) ? page : `spec/chromium/pages/${page}.ts`)),
    folder,
  )
  const names = pages.map(page => basename(page, '.ts'))
  const app = new Koa()
  app.use(async (context, next) => {
    const name = context.path.slice(1)
    if (names.includes(name)) {
      context.type = 'html'
      context.body = `<!doctype html><html lang="en"><title>${name}</title><script type="module" src="/${name}.js"></script></html>`
    } else if (/^\/[\w-]+\.js$/.test(context.path)) {
      context.type = 'js'
      context.body = readFileSync(join(folder, name))
    } else if (context.path === '/sql-wasm-browser.wasm') {
      context.type = 'application/wasm'
      context.body = readFileSync(join(root, 'node_modules/sql.js/dist/sql-wasm-browser.wasm'))
    } else await next()
  })
  for (const route of routes) app.use(route)
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections()
      server.close()
      rmSync(folder, { recursive: true })
    },
  }
}
