import { useRows } from 'typeorm-sync/react'
import { Holiday } from '../../model.js'

/** The same for everybody. The server's rules let nobody write them, so there is nothing to write with. */
export function Holidays() {
  const { rows } = useRows(Holiday.getRepository(), { order: { id: 'ASC' } })
  return (
    <main>
      <header className="title">
        <h2>Holidays</h2>
        <p className="role">read only</p>
      </header>
      <ul className="holidays">
        {rows.map(({ id, name }) => (
          <li key={id}>
            <time dateTime={id}>{new Date(id).toLocaleDateString('en', { dateStyle: 'medium', timeZone: 'UTC' })}</time>
            {name}
          </li>
        ))}
      </ul>
    </main>
  )
}
