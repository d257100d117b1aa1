import { useVirtualizer } from '@tanstack/react-virtual'
import { useRef } from 'react'
import { In } from 'typeorm'
import { Photo, type Project, Task } from '../../model.js'
import { useCount, useRows } from './stubs.js'
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
  const where = { project: { id: list.id } }
  const count = useCount(Task.getRepository(), { where })
  const virtual = useVirtualizer({ count: count ?? 0, getScrollElement: () => scroller.current, estimateSize: () => HEIGHT, overscan: 6 })

  const first = virtual.getVirtualItems()[0]?.index ?? 0
  const skip = Math.floor(first / BLOCK) * BLOCK
  const rows = useRows(Task.getRepository(), { where, order: { done: 'ASC', name: 'ASC', id: 'ASC' }, skip, take: 2 * BLOCK })
  // the former ones stay until the next ones are there
  const shown = useRef<{ skip: number; rows: Task[] }>({ skip: 0, rows: [] })
  if (rows) shown.current = { skip, rows }
  const tasks = virtual.getVirtualItems().map(item => ({ item, task: shown.current.rows[item.index - shown.current.skip] }))
  const photos = useRows(Photo.getRepository(), { where: { id: In(shown.current.rows.map(({ id }) => id)) } })

  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by the keyboard
    <section className="tasks" ref={scroller} tabIndex={0} aria-label={`Tasks of ${list.name}`}>
      {count === 0 && <p className="empty">Nothing to do.</p>}
      <ul style={{ height: virtual.getTotalSize() }}>
        {tasks.map(({ item, task }) => (
          <li
            key={task?.id ?? item.index}
            aria-setsize={count}
            aria-posinset={item.index + 1}
            style={{ transform: `translateY(${item.start}px)`, height: HEIGHT }}
          >
            {task && <TaskRow task={task} photo={photos?.find(({ id }) => id === task.id)} canWrite={canWrite} onOpen={onOpen} />}
          </li>
        ))}
      </ul>
    </section>
  )
}
