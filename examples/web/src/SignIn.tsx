import { useState } from 'react'
import { USERS, type User } from '../../users.js'
import { device } from './device.js'
import { NetworkSwitch } from './NetworkSwitch.js'
import { Avatar } from './parts.js'
import { type Session, signIn } from './session.js'

export function SignIn({ onSignedIn }: { onSignedIn: (session: Session) => void }) {
  const [error, setError] = useState('')
  const enter = (user: User) => signIn(user).then(onSignedIn, ({ message }) => setError(`This needs the server. ${message}`))
  return (
    <div className="device">
      <header className="bar">
        <h1>{device}</h1>
        <NetworkSwitch />
      </header>
      <main className="sign-in">
        <h2>Who uses this device?</h2>
        <p>Whoever signs in sees their own lists, and those that others share with them.</p>
        <ul>
          {USERS.map(user => (
            <li key={user.name}>
              <button type="button" className="person" onClick={() => enter(user)}>
                <Avatar name={user.name} />
                {user.name}
              </button>
            </li>
          ))}
        </ul>
        <p role="alert">{error}</p>
      </main>
    </div>
  )
}
