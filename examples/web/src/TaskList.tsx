import { useVirtualizer } from '@tanstack/react-virtual'
import { useRef, useState } from 'react'
import { Equal, In } from 'typeorm'
import { useRows } from 'typeorm-sync/react'
import { Photo, type Project, Task } from '../../model.js'
import { TaskRow } from './TaskRow.js'

/** Pixels: so the list knows where a task is that it has not read. */
const HEIGHT = 60
/** Rows that are read together. */
const BLOCK = 50

interface Props {
  readonly list: Project
  readonly canWrite: boolean
  readonly onOpen: (task: Task) => void
}

/** The tasks of a list, however many they are: only those near the visible ones are read and rendered. */
export function TaskList({ list, canWrite, onOpen }: Props) {
  const scroller = useRef<HTMLElement>(null)
  const [end, setEnd] = useState(0)
  const virtual = useVirtualizer({ count: end, getScrollElement: () => scroller.current, estimateSize: () => HEIGHT, overscan: 6 })
  const visible = virtual.getVirtualItems()

  const skip = Math.floor((visible[0]?.index ?? 0) / BLOCK) * BLOCK
  const where = { project: Equal(list.id) } // `{ id: list.id }` would join the lists
  const read = useRows(Task.getRepository(), { where, order: { done: 'ASC', name: 'ASC', id: 'ASC' }, skip, take: 2 * BLOCK })
  // the former ones stay until the next ones are there
  const [shown, show] = useState({ skip, rows: read.rows })
  if (!read.isLoading && read.rows !== shown.rows) show({ skip, rows: read.rows })
  const { rows: photos } = useRows(Photo.getRepository(), { where: { id: In(shown.rows.map(({ id }) => id)) } })

  // there may be more than have been read so far
  const isEnd = shown.rows.length < 2 * BLOCK
  const known = shown.skip + shown.rows.length
  if (isEnd ? end !== known : end < known) setEnd(known)

  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by the keyboard
    <section className="tasks" ref={scroller} tabIndex={0} aria-label={`Tasks of ${list.name}`}>
      {!read.isLoading && known === 0 && <p className="empty">Nothing to do.</p>}
      <ul style={{ height: virtual.getTotalSize() }}>
        {visible.map(({ index, start }) => {
          const task = shown.rows[index - shown.skip]
          return (
            <li
              key={task?.id ?? index}
              aria-setsize={isEnd ? end : -1}
              aria-posinset={index + 1}
              style={{ transform: `translateY(${start}px)`, height: HEIGHT }}
            >
              {task && <TaskRow task={task} photo={photos.find(({ id }) => id === task.id)} canWrite={canWrite} onOpen={onOpen} />}
            </li>
          )
        })}
      </ul>
    </section>
  )
}
