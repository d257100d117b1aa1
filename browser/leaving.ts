/** Calls the listener when the page is hidden or left, which may be the last that it hears. Returns a function that ends this. */
export function listenToLeaving(left: () => void): () => void {
  const page: Partial<Document> | undefined = globalThis.document
  const hidden = () => {
    if (page?.visibilityState === 'hidden') left()
  }
  page?.addEventListener?.('visibilitychange', hidden)
  globalThis.addEventListener?.('pagehide', left)
  return () => {
    page?.removeEventListener?.('visibilitychange', hidden)
    globalThis.removeEventListener?.('pagehide', left)
  }
}
