export function Inspector({ onClose }: { onClose: () => void }) {
  return (
    <aside className="drawer" aria-label="Inspector">
      <button type="button" className="quiet close" aria-label="Close the inspector" onClick={onClose}>
        ×
      </button>
    </aside>
  )
}
