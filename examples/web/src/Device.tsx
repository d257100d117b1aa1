import { useState } from 'react'
import { USERS } from '../../users.js'
import { Conflicts } from './Conflicts.js'
import { device } from './device.js'
import { Inspector } from './Inspector.js'
import { Lists } from './Lists.js'
import { NetworkSwitch } from './NetworkSwitch.js'
import { NotOpen } from './NotOpen.js'
import { Avatar } from './parts.js'
import { StatusBar, StatusDot } from './Status.js'
import { signIn } from './session.js'
import type { Opened } from './sync.js'
import { useDatabase } from './useDatabase.js'

interface Props {
  readonly user: string
  readonly onLeave: () => void
}

/** The app of one user on one device. */
export function Device({ user, onLeave }: Props) {
  const { opened, error, retry } = useDatabase(user)
  return (
    <div className="device">
      {opened ? (
        <OpenDevice user={user} onLeave={onLeave} opened={opened} />
      ) : (
        <>
          <header className="bar">
            <h1>{device}</h1>
          </header>
          <NotOpen error={error} retry={retry} />
        </>
      )}
    </div>
  )
}

function OpenDevice({ user, onLeave, opened: { database, kept } }: Props & { readonly opened: Opened }) {
  const [isInspected, setInspected] = useState(false)

  async function leave(): Promise<void> {
    const goes = (unpushed: number) => confirm(`${unpushed} of your changes never reached the server. They will be lost. Sign out?`)
    if (await database.wipe(goes)) onLeave()
  }

  async function signInAgain(): Promise<void> {
    await signIn(USERS.find(({ name }) => name === user)!)
    kept.wake()
  }

  return (
    <>
      <header className="bar">
        <h1>{device}</h1>
        <StatusDot kept={kept} />
        <NetworkSwitch />
        <button type="button" className="quiet user" onClick={leave} title="Sign out">
          <Avatar name={user} />
          <span className="label">Sign out</span>
        </button>
      </header>
      <Lists user={user} />
      <Conflicts dataSource={database.dataSource} />
      {isInspected && <Inspector dataSource={database.dataSource} kept={kept} onClose={() => setInspected(false)} />}
      <StatusBar kept={kept} onSignIn={signInAgain} onInspect={() => setInspected(!isInspected)} />
    </>
  )
}
