import { useState } from 'react'
import { Device } from './Device.js'
import { SignIn } from './SignIn.js'
import { forgetSession, readSession } from './session.js'

export function App() {
  const [session, setSession] = useState(readSession)
  if (!session) return <SignIn onSignedIn={setSession} />
  const leave = () => {
    forgetSession()
    setSession(null)
  }
  return <Device key={session.user} user={session.user} onLeave={leave} />
}
