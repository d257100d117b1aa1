// The switch for the network. An application has none; this one shows what happens without a connection.

import { useSyncExternalStore } from 'react'

let isOn = true
const listeners = new Set<() => void>()

/** `fetch`, for as long as the network is on. */
export const networkFetch: typeof fetch = (input, init) =>
  isOn ? fetch(input, init) : Promise.reject(new TypeError('the network is switched off'))

/** Browsers say by the same events that they are on line or off line. */
export function switchNetwork(on: boolean): void {
  isOn = on
  for (const listener of listeners) listener()
  window.dispatchEvent(new Event(on ? 'online' : 'offline'))
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

export const useNetwork = () => useSyncExternalStore(subscribe, () => isOn)
