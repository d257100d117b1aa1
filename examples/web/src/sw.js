// The service worker: keeps the files of the app, so that it opens without a network. `FILES` is written before this by vite.config.ts.

const cache = caches.open(`app ${FILES.join()}`)

self.addEventListener('install', event => {
  self.skipWaiting()
  event.waitUntil(cache.then(files => files.addAll(FILES)))
})

self.addEventListener('activate', event => event.waitUntil(removeFormer()))

self.addEventListener('fetch', event => {
  const { request } = event
  const { pathname, origin } = new URL(request.url)
  if (request.method !== 'GET' || origin !== location.origin || !FILES.includes(pathname)) return
  // a page as it is now, if it can be had; what it loads has a name made of its contents
  event.respondWith(
    request.mode === 'navigate' ? fetch(request).catch(() => kept(request)) : kept(request).then(file => file ?? fetch(request)),
  )
})

const kept = request => cache.then(files => files.match(request, { ignoreSearch: true, ignoreVary: true }))

async function removeFormer() {
  for (const name of await caches.keys()) if (name !== `app ${FILES.join()}`) await caches.delete(name)
}
