import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vite'

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))

export default defineConfig({
  root: here('.'),
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
