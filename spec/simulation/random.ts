/** Random numbers of a seed (mulberry32): the same seed draws the same history. */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed | 0
  }

  next = (): number => {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }

  chance = (p: number): boolean => this.next() < p

  pick = <T>(list: readonly T[]): T => list[Math.floor(this.next() * list.length)] as T
}
