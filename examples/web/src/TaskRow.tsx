import { memo } from 'react'
import { type Photo, Task } from '../../model.js'
import { DueDate, Picture, Tags } from './parts.js'

interface Props {
  readonly task: Task
  readonly photo: Photo | undefined
  readonly canWrite: boolean
  readonly onOpen: (task: Task) => void
}

export const TaskRow = memo(function TaskRow({ task, photo, canWrite, onOpen }: Props) {
  const { id, name, done, dueDate, tags } = task
  return (
    <div className="task" data-done={done}>
      <input type="checkbox" aria-label={name} checked={done} disabled={!canWrite} onChange={() => Task.update(id, { done: !done })} />
      <button type="button" className="quiet" onClick={() => onOpen(task)}>
        <span className="name">{name}</span>
        {(dueDate || tags) && (
          <span className="about">
            {dueDate && <DueDate date={dueDate} />}
            <Tags tags={tags} />
          </span>
        )}
      </button>
      {photo && <Picture className="thumbnail" bytes={photo.bytes} alt={`Photo of ${name}`} />}
    </div>
  )
})
