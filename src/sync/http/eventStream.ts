// Reads a stream of events (PROTOCOL.md, Live). Not by EventSource, which sends no headers.

export interface StreamEvent {
  /** Undefined for a comment: a sign of life. */
  readonly name: string | undefined
  readonly data: Readonly<Record<string, unknown>>
}

/** Characters of one event, at most. */
const LONGEST = 1_000_000

/** Rejects as the body does, and where it is no stream of events of ours. */
export async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<StreamEvent> {
  const decoder = new TextDecoder()
  const reader = body.getReader()
  let text = ''
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      text += decoder.decode(read.value, { stream: true })
      const blocks = text.split(/\r?\n\r?\n/)
      text = blocks.pop() ?? ''
      if (text.length > LONGEST) throw new Error('An event is too long.')
      for (const block of blocks) yield eventOf(block)
    }
  } finally {
    reader.cancel().catch(() => {}) // the rest is of no use
  }
}

function eventOf(block: string): StreamEvent {
  const fields = new Map<string, string>()
  for (const line of block.split(/\r?\n/)) {
    const [, name, value = ''] = /^(\w+):? ?(.*)$/.exec(line) ?? []
    if (name) fields.set(name, value)
  }
  const data: unknown = JSON.parse(fields.get('data') ?? '{}')
  return { name: fields.get('event'), data: typeof data === 'object' && data !== null ? (data as StreamEvent['data']) : {} }
}
