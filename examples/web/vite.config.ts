import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { defineConfig, type Plugin } from 'vite'

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))

/** Gives the service worker the names of all files. */
const serviceWorker: Plugin = {
  name: 'service-worker',
  enforce: 'post',
  generateBundle(_, bundle) {
    const files = ['/', ...Object.keys(bundle).map(name => `/${name}`)]
    const source = `const FILES = ${JSON.stringify(files)}\n${readFileSync(here('src/sw.js'), 'utf8')}`
    this.emitFile({ type: 'asset', fileName: 'sw.js', source })
  },
}

export default defineConfig({
  root: here('.'),
  plugins: [serviceWorker],
  build: {
    outDir: here('../../dist-web'),
    emptyOutDir: true,
    target: 'es2022',
    chunkSizeWarningLimit: 2_000,
    rolldownOptions: {
      input: [here('index.html'), here('device.html')],
      output: { keepNames: true }, // the inspector shows the names of entities
    },
  },
  // `npm run server` beside `npx vite examples/web`: what changes in the sources is shown at once
  server: { proxy: { '^/(sync|signIn|\\w+Changes)\\b': 'http://127.0.0.1:3000' } },
})
