import { Member, memberId, Project } from '../../model.js'
import { USERS } from '../../users.js'
import { Avatar, Dialog } from './parts.js'

interface Props {
  readonly list: Project
  readonly user: string
  readonly members: readonly Member[]
  readonly onClose: () => void
}

const ROLES = { '': 'does not see it', reader: 'reads', writer: 'writes', owner: 'owns it' }

/** Who shares a list. Its owners let others in and shut them out; everybody may leave. */
export function ListDialog({ list, user, members, onClose }: Props) {
  const roleOf = (name: string) => members.find(member => member.user === name)?.role ?? ''
  const isOwner = roleOf(user) === 'owner'

  const setRole = (name: string, role: string) =>
    role
      ? Member.save({ id: memberId(list, name), user: name, role: role as Member['role'], project: list })
      : Member.delete(memberId(list, name))

  async function end(): Promise<void> {
    if (isOwner && !confirm(`Delete ${list.name} for everybody?`)) return
    await (isOwner ? Project.delete(list.id) : Member.delete(memberId(list, user)))
    onClose()
  }

  return (
    <Dialog title={list.name} onClose={onClose}>
      <ul className="members">
        {USERS.map(({ name }) => (
          <li key={name}>
            <Avatar name={name} />
            <label htmlFor={`role-${name}`}>{name}</label>
            <select
              id={`role-${name}`}
              value={roleOf(name)}
              disabled={!isOwner || name === user}
              onChange={event => setRole(name, event.target.value)}
            >
              {Object.entries(ROLES).map(([role, text]) => (
                <option key={role} value={role}>
                  {text}
                </option>
              ))}
            </select>
          </li>
        ))}
      </ul>
      <footer>
        <button type="button" className="quiet danger" onClick={end}>
          {isOwner ? 'Delete the list' : 'Leave the list'}
        </button>
      </footer>
    </Dialog>
  )
}
