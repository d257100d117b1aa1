// Reads a stream of events, as a client does that is none of ours.

export interface Heard {
  readonly name: string
  readonly data: any
  readonly id: string | undefined
}

export interface Ear {
  readonly response: Response
  readonly events: Heard[]
  /** Comments. */
  readonly beats: { count: number }
  /** Resolves when the stream has ended; false where it broke. */
  readonly ended: Promise<boolean>
  /** The data of the events of this name. */
  of(name: string): any[]
  close(): void
}

export async function listen(url: string, headers: Record<string, string> = {}): Promise<Ear> {
  const controller = new AbortController()
  const response = await fetch(url, { headers: { accept: 'text/event-stream', ...headers }, signal: controller.signal })
  const events: Heard[] = []
  const beats = { count: 0 }
  const read = async () => {
    let text = ''
    const decoder = new TextDecoder()
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      text += decoder.decode(chunk, { stream: true })
      const parts = text.split('\n\n')
      text = parts.pop() as string
      for (const part of parts) {
        const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(part)?.[1]
        const name = field('event')
        if (name === undefined) beats.count++
        else events.push({ name, data: JSON.parse(field('data') as string), id: field('id') })
      }
    }
    return true
  }
  const ended = read().catch(() => false)
  return {
    response,
    events,
    beats,
    ended,
    of: name => events.filter(e => e.name === name).map(e => e.data),
    close: () => controller.abort(),
  }
}
