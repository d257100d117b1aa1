// Small things that several views show.

import { type ReactNode, useEffect, useId, useMemo, useRef } from 'react'

export const Avatar = ({ name }: { name: string }) => (
  <span className="avatar" data-user={name} aria-hidden="true">
    {name.slice(0, 1).toUpperCase()}
  </span>
)

export const Tags = ({ tags }: { tags: readonly string[] | null }) =>
  tags?.map(tag => (
    <span key={tag} className="tag">
      {tag}
    </span>
  ))

export const DueDate = ({ date }: { date: Date }) => (
  <time className={date < new Date() ? 'due late' : 'due'} dateTime={date.toISOString().slice(0, 10)}>
    {date.toLocaleDateString('en', { day: 'numeric', month: 'short', timeZone: 'UTC' })}
  </time>
)

/** A picture that the database holds. */
export function Picture({ bytes, alt, className = 'picture' }: { bytes: Uint8Array; alt: string; className?: string }) {
  const url = useMemo(() => URL.createObjectURL(new Blob([bytes as Uint8Array<ArrayBuffer>])), [bytes])
  useEffect(() => () => URL.revokeObjectURL(url), [url])
  return <img className={className} src={url} alt={alt} />
}

/** A dialog above the device, open for as long as it is rendered. */
export function Dialog({ title, onClose, children }: { title: string; onClose: () => void; children: ReactNode }) {
  const ref = useRef<HTMLDialogElement>(null)
  const id = useId()
  useEffect(() => ref.current?.showModal(), [])
  return (
    <dialog ref={ref} aria-labelledby={id} onClose={onClose}>
      <header>
        <h2 id={id}>{title}</h2>
        <button type="button" className="quiet close" aria-label="Close" onClick={onClose}>
          ×
        </button>
      </header>
      {children}
    </dialog>
  )
}
