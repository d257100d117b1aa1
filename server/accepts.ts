// Which of the types that a server has a client would rather get (RFC 9110, 12.5.1).

interface Range {
  readonly type: string
  readonly subtype: string
  readonly hasParameters: boolean
  readonly quality: number
}

/** Undefined where none is acceptable. Without a header it is the first; so it is among equals that the header names equally. */
export function preferred<T extends string>(header: string, types: readonly T[]): T | undefined {
  if (!header) return types[0]
  const ranges = header.split(',').flatMap(text => readRange(text) ?? [])
  const rated = types.map(type => ({ type, ...rate(type, ranges) })).filter(({ quality }) => quality > 0)
  rated.sort((a, b) => b.quality - a.quality || b.precision - a.precision || a.place - b.place)
  return rated[0]?.type
}

function readRange(text: string): Range | undefined {
  const [range = '', ...parameters] = text.split(';').flatMap((part, i) => part.trim().toLowerCase() || (i ? [] : ''))
  const [, type, subtype] = /^([^\s/]+)\/([^\s/]+)$/.exec(range) ?? []
  if (!type || !subtype) return
  const q = parameters.findIndex(parameter => parameter.startsWith('q='))
  return { type, subtype, hasParameters: q !== 0 && parameters.length > 0, quality: q < 0 ? 1 : Number(parameters[q]?.slice(2)) }
}

/** The most precise range counts; no type here has parameters. */
function rate(name: string, ranges: readonly Range[]): { quality: number; precision: number; place: number } {
  const [ownType, ownSubtype] = name.split('/')
  let best = { quality: 0, precision: -1, place: -1 }
  ranges.forEach(({ type, subtype, hasParameters, quality }, place) => {
    if (hasParameters || (type !== '*' && type !== ownType) || (subtype !== '*' && subtype !== ownSubtype)) return
    const precision = Number(type !== '*') + Number(subtype !== '*')
    if (precision > best.precision || (precision === best.precision && quality > best.quality)) best = { quality, precision, place }
  })
  return best
}
