/** Gives a spec what it calls in this page; to be called when the page is ready. */
export function offer<Offer extends object>(offered: Offer): Offer {
  return Object.assign(globalThis, { offer: offered }).offer
}
