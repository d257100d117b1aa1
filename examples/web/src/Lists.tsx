import { useState } from 'react'
import { useRows } from 'typeorm-sync/react'
import { Holiday, Member, memberId, Project } from '../../model.js'
import { Holidays } from './Holidays.js'
import { ListPage } from './ListPage.js'
import { Dialog } from './parts.js'

/** The lists that the user sees, and the one that is open. */
export function Lists({ user }: { user: string }) {
  const { rows: lists, isLoading } = useRows(Project.getRepository(), { order: { name: 'ASC' } })
  const [chosen, setChosen] = useState(() => decodeURIComponent(location.hash.slice(1)))
  const [isNaming, setNaming] = useState(false)
  const open = lists.find(({ id }) => id === chosen) ?? lists[0]
  const isHolidays = chosen === Holiday.name

  /** A reload opens it again. */
  function choose(id: string): void {
    history.replaceState(null, '', `#${encodeURIComponent(id)}`)
    setChosen(id)
  }

  async function add(name: string): Promise<void> {
    const project = await Project.save({ name })
    await Member.save({ id: memberId(project, user), user, role: 'owner', project })
    choose(project.id)
    setNaming(false)
  }

  const tab = (id: string, name: string, isOpen: boolean) => (
    <li key={id}>
      <button type="button" aria-current={isOpen ? 'page' : undefined} onClick={() => choose(id)}>
        {name}
      </button>
    </li>
  )
  return (
    <>
      <nav aria-label="Lists">
        <ul>
          {lists.map(({ id, name }) => tab(id, name, !isHolidays && id === open?.id))}
          {tab(Holiday.name, 'Holidays', isHolidays)}
          <li>
            <button type="button" className="add" onClick={() => setNaming(true)}>
              New list
            </button>
          </li>
        </ul>
      </nav>
      {isHolidays ? <Holidays /> : open ? <ListPage key={open.id} list={open} user={user} /> : <NoList isLoading={isLoading} />}
      {isNaming && (
        <Dialog title="New list" onClose={() => setNaming(false)}>
          <form action={data => add(String(data.get('name')))}>
            <label>
              Name
              <input name="name" required maxLength={255} autoComplete="off" />
            </label>
            <footer>
              <button type="submit">Create</button>
            </footer>
          </form>
        </Dialog>
      )}
    </>
  )
}

const NoList = ({ isLoading }: { isLoading: boolean }) => (
  <main className="empty">{!isLoading && <p>There is no list yet. Create one, or ask somebody to share theirs.</p>}</main>
)
