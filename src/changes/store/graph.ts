// What comes before what: components and levels of a graph whose nodes are numbers. Linear, and without recursion: a chain may be long.

export interface Edge {
  readonly from: number
  readonly to: number
}

function outgoing(size: number, edges: readonly Edge[]): number[][] {
  const out: number[][] = Array.from({ length: size }, () => [])
  for (const { from, to } of edges) out[from]?.push(to)
  return out
}

/** The strongly connected components (Tarjan), those first that others come after, else in the order of their nodes. */
export function componentsOf(size: number, edges: readonly Edge[]): number[][] {
  const out = outgoing(size, edges)
  const seen = new Array<number>(size).fill(-1)
  const lowest = new Array<number>(size).fill(0)
  const isOpen = new Array<boolean>(size).fill(false)
  const open: number[] = []
  const components: number[][] = []
  let count = 0
  for (let root = size - 1; root >= 0; root--) {
    if (seen[root] !== -1) continue
    const path: { node: number; next: number }[] = [{ node: root, next: 0 }]
    for (let here = path.at(-1); here; here = path.at(-1)) {
      const { node } = here
      if (here.next === 0) {
        seen[node] = lowest[node] = count++
        open.push(node)
        isOpen[node] = true
      }
      const to = out[node]?.[here.next++]
      if (to !== undefined) {
        if (seen[to] === -1) path.push({ node: to, next: 0 })
        else if (isOpen[to]) lowest[node] = Math.min(lowest[node] as number, seen[to] as number)
        continue
      }
      path.pop()
      const before = path.at(-1)
      if (before) lowest[before.node] = Math.min(lowest[before.node] as number, lowest[node] as number)
      if (lowest[node] !== seen[node]) continue
      const component = open.splice(open.lastIndexOf(node))
      for (const member of component) isOpen[member] = false
      components.push(component.sort((x, y) => x - y))
    }
  }
  return components.reverse()
}

/** The number of each node's component, and whether there is another node in it, or an edge to itself. */
export function cyclesOf(size: number, edges: readonly Edge[]): { component: number[]; isWithin(edge: Edge): boolean } {
  const component = new Array<number>(size).fill(0)
  for (const [i, members] of componentsOf(size, edges).entries()) for (const node of members) component[node] = i
  return { component, isWithin: ({ from, to }) => component[from] === component[to] }
}

/** The nodes of a graph without cycles in a topological order, and the level of each: the most that the edges of a path to it cost. */
export function levelsOf<E extends Edge>(
  size: number,
  edges: readonly E[],
  cost: (edge: E) => 0 | 1,
): { order: number[]; level: number[] } {
  const out: E[][] = Array.from({ length: size }, () => [])
  const missing = new Array<number>(size).fill(0)
  for (const edge of edges) {
    out[edge.from]?.push(edge)
    missing[edge.to] = (missing[edge.to] as number) + 1
  }
  const level = new Array<number>(size).fill(0)
  const order: number[] = []
  for (let node = 0; node < size; node++) if (missing[node] === 0) order.push(node)
  for (let i = 0; i < order.length; i++) {
    const node = order[i] as number
    for (const edge of out[node] as E[]) {
      level[edge.to] = Math.max(level[edge.to] as number, (level[node] as number) + cost(edge))
      const left = (missing[edge.to] as number) - 1
      missing[edge.to] = left
      if (left === 0) order.push(edge.to)
    }
  }
  return { order, level }
}
