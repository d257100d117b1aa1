import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vite'

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))

export default defineConfig({
  root: here('.'),
  // TypeORM finds entities by the names of their classes
  build: {
    outDir: here('../../dist-web'),
    emptyOutDir: true,
    target: 'es2022',
    rolldownOptions: { input: [here('index.html'), here('device.html')] },
  },
  // `npm run server` beside `npx vite examples/web`: what changes in the sources is shown at once
  server: { proxy: { '^/(sync|signIn|\\w+Changes)\\b': 'http://127.0.0.1:3000' } },
})
