// What of a browser says that the connection or the page is back, where there is a browser.

interface Target {
  addEventListener(name: string, listener: () => void): void
  removeEventListener(name: string, listener: () => void): void
}

interface Browser extends Partial<Target> {
  readonly document?: Target & { readonly visibilityState?: string }
}

/** Calls `back` when the connection or the page comes back, `gone` when the connection goes. Returns a function that ends this. */
export function listenToBrowser(back: () => void, gone: () => void): () => void {
  const browser = globalThis as unknown as Browser
  const show = () => {
    if (browser.document?.visibilityState !== 'hidden') back()
  }
  const ears: [Partial<Target> | undefined, string, () => void][] = [
    [browser, 'online', back],
    [browser, 'offline', gone],
    [browser.document, 'visibilitychange', show],
  ]
  for (const [target, name, listener] of ears) target?.addEventListener?.(name, listener)
  return () => {
    for (const [target, name, listener] of ears) target?.removeEventListener?.(name, listener)
  }
}
