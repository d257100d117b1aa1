import { useState } from 'react'
import { useRows } from 'typeorm-sync/react'
import { Member, type Project, Task } from '../../model.js'
import { ListDialog } from './ListDialog.js'
import { Avatar } from './parts.js'
import { TaskDialog } from './TaskDialog.js'
import { TaskList } from './TaskList.js'

/** One list: who shares it, and its tasks. */
export function ListPage({ list, user }: { list: Project; user: string }) {
  const { rows: members } = useRows(Member.getRepository(), { where: { project: { id: list.id } }, order: { user: 'ASC' } })
  const [isShared, setShared] = useState(false)
  const [task, setTask] = useState<Task>()
  const role = members.find(member => member.user === user)?.role
  const canWrite = role === 'owner' || role === 'writer'

  return (
    <main>
      <header className="title">
        <h2>{list.name}</h2>
        {role === 'reader' && <p className="role">read only</p>}
        <button type="button" className="quiet people" onClick={() => setShared(true)}>
          {members.map(member => (
            <Avatar key={member.id} name={member.user} />
          ))}
          <span>{role === 'owner' ? 'Share' : 'Members'}</span>
        </button>
      </header>
      {canWrite && <NewTask list={list} />}
      <TaskList list={list} canWrite={canWrite} onOpen={setTask} />
      {isShared && <ListDialog list={list} user={user} members={members} onClose={() => setShared(false)} />}
      {task && <TaskDialog task={task} canWrite={canWrite} onClose={() => setTask(undefined)} />}
    </main>
  )
}

/** 'Buy milk #shop' is a task with a tag. */
function NewTask({ list }: { list: Project }) {
  async function add(data: FormData): Promise<void> {
    const words = String(data.get('name')).split(/\s+/)
    const tags = words.filter(word => /^#./.test(word)).map(word => word.slice(1).replaceAll(',', ''))
    const name = words
      .filter(word => !/^#./.test(word))
      .join(' ')
      .trim()
    if (name) await Task.save({ name, tags: tags.length ? tags : null, project: list })
  }
  return (
    <form className="new-task" action={add}>
      <input name="name" aria-label="New task" placeholder="Add a task, #tags" maxLength={255} autoComplete="off" enterKeyHint="done" />
    </form>
  )
}
