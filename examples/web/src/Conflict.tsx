import { type ReactNode, useState } from 'react'
import type { ObjectLiteral } from 'typeorm'
import { journal, type UnresolvedConflict } from 'typeorm-sync'
import { DueDate, Picture, Tags } from './parts.js'
import { useOpened } from './stubs.js'

type Side = 'local' | 'remote'
const TITLES = { local: 'On this device', remote: 'On the server' }

/** Both sides of a conflict beside each other, for each property that differs, or for the row as a whole where one side has removed it. */
export function Conflict({ conflict }: { conflict: UnresolvedConflict<ObjectLiteral> }) {
  const { dataSource } = useOpened()
  const { entity, id, local, remote, base } = conflict
  const isWhole = !local || !remote
  const properties = isWhole ? [''] : conflict.properties
  const [choice, setChoice] = useState<Record<string, Side>>({})
  const sideOf = (property: string) => conflict[choice[property] ?? 'local']

  function decide(): Promise<void> {
    const winner = isWhole ? sideOf('') : Object.fromEntries(properties.map(property => [property, sideOf(property)?.[property]]))
    return journal(dataSource.getRepository(entity)).resolve(id, winner)
  }

  return (
    <form className="conflict" action={decide}>
      <h3>{base?.name ?? local?.name ?? remote?.name ?? `${entity} ${id}`}</h3>
      {properties.map(property => (
        <fieldset key={property}>
          <legend>{property || 'removed'}</legend>
          {(['local', 'remote'] as const).map(side => (
            <label key={side} className="side">
              <input
                type="radio"
                name={`${id} ${property}`}
                checked={(choice[property] ?? 'local') === side}
                onChange={() => setChoice({ ...choice, [property]: side })}
              />
              <span className="where">{TITLES[side]}</span>
              <Value of={property ? conflict[side]?.[property] : (conflict[side]?.name ?? conflict[side])} />
            </label>
          ))}
          {property && base && (
            <p className="base">
              Before: <Value of={base[property]} />
            </p>
          )}
        </fieldset>
      ))}
      <footer>
        <button type="submit">Keep what is chosen</button>
      </footer>
    </form>
  )
}

function Value({ of: value }: { of: unknown }): ReactNode {
  if (value === null) return <em>nothing</em>
  if (value instanceof Date) return <DueDate date={value} />
  if (value instanceof Uint8Array) return <Picture bytes={value} alt="" />
  if (Array.isArray(value)) return <Tags tags={value} />
  if (typeof value === 'boolean') return value ? 'done' : 'open'
  return String(value)
}
