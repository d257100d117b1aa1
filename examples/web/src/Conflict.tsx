import { type ReactNode, useState } from 'react'
import type { ObjectLiteral } from 'typeorm'
import type { UnresolvedConflict } from 'typeorm-sync'
import { useRows } from 'typeorm-sync/react'
import { Task } from '../../model.js'
import { DueDate, Picture, Tags } from './parts.js'

type Side = 'local' | 'remote'
const SIDES = { local: 'On this device', remote: 'On the server' }
const LABELS: Record<string, string> = { name: 'Name', done: 'Done', dueDate: 'Due', tags: 'Tags', bytes: 'Photo', role: 'Role' }

interface Props {
  readonly conflict: UnresolvedConflict<ObjectLiteral>
  readonly onDecide: (winner: ObjectLiteral | null) => Promise<void>
}

/** Both sides of a conflict beside each other: each property that both have changed, or the row as a whole where one side has removed it. */
export function Conflict({ conflict, onDecide }: Props) {
  const { entity, id, local, remote, base } = conflict
  const isWhole = !local || !remote
  const [choice, setChoice] = useState<Record<string, Side>>({})
  const sideOf = (property: string) => choice[property] ?? 'local'
  const [task] = useRows(Task.getRepository(), { where: { id } }).rows // a photo has the id of its task

  const decide = () =>
    onDecide(isWhole ? conflict[sideOf('')] : Object.fromEntries(conflict.properties.map(name => [name, conflict[sideOf(name)]?.[name]])))

  const question = (property: string, label: string, show: (side: ObjectLiteral) => ReactNode) => (
    <fieldset key={property}>
      <legend>{label}</legend>
      {(['local', 'remote'] as const).map(side => (
        <label key={side} className="side">
          <input
            type="radio"
            name={`${id} ${property}`}
            checked={sideOf(property) === side}
            onChange={() => setChoice({ ...choice, [property]: side })}
          />
          <span className="where">{SIDES[side]}</span>
          {conflict[side] ? show(conflict[side]) : <em>removed</em>}
        </label>
      ))}
      {!isWhole && base && <p className="base">Before: {show(base)}</p>}
    </fieldset>
  )

  return (
    <form className="conflict" action={decide}>
      <h3>{task?.name ?? base?.name ?? remote?.name ?? entity}</h3>
      {isWhole
        ? question('', local ? 'Removed there, changed here' : 'Removed here, changed there', row => <Row of={row} />)
        : conflict.properties.map(name => question(name, LABELS[name] ?? name, row => <Value of={row[name]} />))}
      <footer>
        <button type="submit">Keep what is chosen</button>
      </footer>
    </form>
  )
}

const Row = ({ of: { name, dueDate, tags, bytes } }: { of: ObjectLiteral }) => (
  <>
    {bytes ? <Value of={bytes} /> : name}
    <span className="about">
      {dueDate && <DueDate date={dueDate} />}
      <Tags tags={tags} />
    </span>
  </>
)

function Value({ of: value }: { of: unknown }): ReactNode {
  if (value === null) return <em>none</em>
  if (value instanceof Date) return <DueDate date={value} />
  if (value instanceof Uint8Array) return <Picture bytes={value} alt="" />
  if (Array.isArray(value)) return <Tags tags={value} />
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  return String(value)
}
