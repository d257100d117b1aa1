// The files of the web app beside the sync server: so it is one origin, and needs no CORS.

import { readdirSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import type { Middleware } from 'koa'

/** Serves what is in a folder, as it is now; `/` is index.html. Nothing that a request names reaches the disk. */
export function site(folder: string): Middleware {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile())
  const contents = new Map(
    files.map(({ name, parentPath }) => {
      const file = join(parentPath, name)
      return [`/${file.slice(folder.length + 1).replaceAll('\\', '/')}`, readFileSync(file)]
    }),
  )
  return async (ctx, next) => {
    const path = ctx.path === '/' ? '/index.html' : ctx.path
    const content = contents.get(path)
    if (!content || !['GET', 'HEAD'].includes(ctx.method)) return next()
    ctx.type = extname(path)
    // what is in assets has a name made of its contents
    ctx.set('Cache-Control', path.startsWith('/assets/') ? 'max-age=31536000, immutable' : 'no-cache')
    ctx.body = content
  }
}

/** What Helmet's policy lacks for it: sql.js is WebAssembly, photos are shown from memory, and 127.0.0.1 has no TLS. */
export const SITE_POLICY = {
  directives: {
    'script-src': ["'self'", "'wasm-unsafe-eval'"],
    'img-src': ["'self'", 'blob:', 'data:'],
    'upgrade-insecure-requests': null,
  },
}
