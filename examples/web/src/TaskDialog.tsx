import { useRows } from 'typeorm-sync/react'
import { Photo, Task } from '../../model.js'
import { Dialog, Picture } from './parts.js'
import { shrink } from './photo.js'

interface Props {
  readonly task: Task
  readonly canWrite: boolean
  readonly onClose: () => void
}

const dayOf = (date: Date | null) => date?.toISOString().slice(0, 10) ?? ''
const tagsIn = (text: string) => text.split(/[\s,#]+/).filter(Boolean)

export function TaskDialog({ task, canWrite, onClose }: Props) {
  const [photo] = useRows(Photo.getRepository(), { where: { id: task.id } }).rows

  /** Only what differs is written: so the edits of two people merge. */
  async function save(data: FormData): Promise<void> {
    const [name, day, tags] = ['name', 'day', 'tags'].map(key => String(data.get(key))) as [string, string, string]
    const edits: Partial<Task> = {}
    if (name !== task.name) edits.name = name
    if (day !== dayOf(task.dueDate)) edits.dueDate = day ? new Date(day) : null
    if (tags !== (task.tags ?? []).join(' ')) edits.tags = tags.trim() ? tagsIn(tags) : null
    if (Object.keys(edits).length) await Task.update(task.id, edits)
    onClose()
  }

  async function remove(): Promise<void> {
    await Task.delete(task.id)
    onClose()
  }

  const take = async (file: File | undefined) => file && Photo.save({ id: task.id, task, bytes: await shrink(file) })

  return (
    <Dialog title={canWrite ? 'Edit task' : 'Task'} onClose={onClose}>
      <form action={save}>
        <fieldset disabled={!canWrite}>
          <label>
            Task
            <input name="name" defaultValue={task.name} required maxLength={255} autoComplete="off" />
          </label>
          <div className="columns">
            <label>
              Due
              <input name="day" type="date" defaultValue={dayOf(task.dueDate)} />
            </label>
            <label>
              Tags
              <input name="tags" defaultValue={task.tags?.join(' ')} autoComplete="off" />
            </label>
          </div>
          {photo && <Picture bytes={photo.bytes} alt={`Photo of ${task.name}`} />}
          {canWrite && (
            <label className="file">
              {photo ? 'Another photo' : 'Add a photo'}
              <input type="file" accept="image/*" onChange={event => take(event.target.files?.[0])} />
            </label>
          )}
        </fieldset>
        {canWrite && (
          <footer>
            <button type="button" className="quiet danger" onClick={remove}>
              Delete
            </button>
            <button type="submit">Save</button>
          </footer>
        )}
      </form>
    </Dialog>
  )
}
