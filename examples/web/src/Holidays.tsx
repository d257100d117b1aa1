import { Holiday } from '../../model.js'
import { useRows } from './stubs.js'

/** The same for everybody. The server's rules let nobody write them, so there is nothing to write with. */
export function Holidays() {
  const holidays = useRows(Holiday.getRepository(), { order: { id: 'ASC' } })
  return (
    <main>
      <header className="title">
        <h2>Holidays</h2>
        <p className="role">read only</p>
      </header>
      <ul className="holidays">
        {holidays?.map(({ id, name }) => (
          <li key={id}>
            <time dateTime={id}>{new Date(id).toLocaleDateString('en', { dateStyle: 'medium', timeZone: 'UTC' })}</time>
            {name}
          </li>
        ))}
      </ul>
    </main>
  )
}
