// When to ask again.

const FIRST_WAIT = 300
const RETRIED = new Set([408, 425, 429, 500, 502, 503, 504])

export const isRetried = (status: number): boolean => RETRIED.has(status)

/** Milliseconds before the next try: exponential with full jitter, and no less than the server asked for. `tried` counts the retries before. */
export function pauseBefore(tried: number, retryAfter: number, longest: number, random: () => number): number {
  return Math.min(longest, retryAfter + random() * FIRST_WAIT * 2 ** tried)
}

/** Retry-After in milliseconds (RFC 9110, 10.2.3): seconds, or a date; undefined where it is neither. */
export function readRetryAfter(headers: Headers): number | undefined {
  const text = headers.get('retry-after')?.trim() ?? ''
  if (/^\d+$/.test(text)) return Number(text) * 1000
  const date = httpDate(text)
  // by the server's own clock, where it states the time: ours may be wrong
  return date === undefined ? undefined : Math.max(0, date - (httpDate(headers.get('date') ?? '') ?? Date.now()))
}

// Date.parse finds a year in nearly everything
function httpDate(text: string): number | undefined {
  const date = / GMT$/.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(date) ? undefined : date
}
