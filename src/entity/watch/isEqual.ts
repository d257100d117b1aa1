/** Are values the same, with all that is in them? Functions are, where their texts are. The first one does not lead back to itself. */
export function isEqual(one: unknown, other: unknown): boolean {
  if (Object.is(one, other)) return true
  if (typeof one === 'function' && typeof other === 'function') return String(one) === String(other)
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return false
  // bytes come as one class from one driver and as another one from the next
  if (one instanceof Uint8Array) return other instanceof Uint8Array && isEqualList(one, other)
  if (Object.getPrototypeOf(one) !== Object.getPrototypeOf(other)) return false
  if (one instanceof Date) return Object.is(one.getTime(), (other as Date).getTime())
  if (Array.isArray(one)) return isEqualList(one, other as unknown[])
  const keys = Object.keys(one)
  if (keys.length !== Object.keys(other).length) return false
  return keys.every(key => Object.hasOwn(other, key) && isEqual(one[key as never], other[key as never]))
}

function isEqualList(one: ArrayLike<unknown>, other: ArrayLike<unknown>): boolean {
  if (one.length !== other.length) return false
  for (let i = 0; i < one.length; i++) if (!isEqual(one[i], other[i])) return false
  return true
}
