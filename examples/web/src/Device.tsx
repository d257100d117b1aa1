import { useEffect, useState } from 'react'
import { USERS } from '../../users.js'
import { Conflicts } from './Conflicts.js'
import { device } from './device.js'
import { Inspector } from './Inspector.js'
import { Lists } from './Lists.js'
import { NetworkSwitch } from './NetworkSwitch.js'
import { Avatar } from './parts.js'
import { StatusBar, StatusDot } from './Status.js'
import { signIn } from './session.js'
import { type Opened, open } from './sync.js'

/** The app of one user on one device. */
export function Device({ user, onLeave }: { user: string; onLeave: () => void }) {
  const [opened, setOpened] = useState<Opened>()
  const [isInspected, setInspected] = useState(false)
  useEffect(() => void open().then(setOpened), [])

  if (!opened) return <div className="device" />
  const leave = async () => {
    const goes = (unpushed: number) => confirm(`${unpushed} of your changes never reached the server. They will be lost. Sign out?`)
    if (await opened.wipe(goes)) onLeave()
  }
  const signInAgain = async () => {
    await signIn(USERS.find(({ name }) => name === user)!)
    opened.kept.wake()
  }
  return (
    <div className="device">
      <header className="bar">
        <h1>{device}</h1>
        <StatusDot kept={opened.kept} />
        <NetworkSwitch />
        <button type="button" className="quiet user" onClick={leave} title="Sign out">
          <Avatar name={user} />
          <span className="label">Sign out</span>
        </button>
      </header>
      <Lists user={user} />
      <Conflicts dataSource={opened.dataSource} />
      {isInspected && <Inspector onClose={() => setInspected(false)} />}
      <StatusBar kept={opened.kept} onSignIn={signInAgain} onInspect={() => setInspected(!isInspected)} />
    </div>
  )
}
