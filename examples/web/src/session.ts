// Who is signed in on this device.

import type { User } from '../../users.js'
import { keyOf } from './device.js'
import { networkFetch } from './network.js'

export interface Session {
  readonly user: string
  /** It ends after an hour, or when the server starts anew. */
  readonly token: string
}

export const readSession = (): Session | null => JSON.parse(localStorage.getItem(keyOf('session')) ?? 'null')

/** Rejects where the server cannot be reached, or says no. */
export async function signIn(user: User): Promise<Session> {
  const response = await networkFetch('/signIn', { method: 'POST', body: JSON.stringify(user) })
  if (!response.ok) throw new Error(await response.text())
  const session = { user: user.name, token: await response.text() }
  localStorage.setItem(keyOf('session'), JSON.stringify(session))
  return session
}

export const forgetSession = () => localStorage.removeItem(keyOf('session'))
