// Elements and lists of them. Data becomes text nodes and attributes, never markup.

type Child = Node | string | null | undefined | false

interface Properties {
  readonly [attribute: string]: string | number | boolean | undefined | ((event: Event) => void)
}

/** Makes an element. Functions are listeners (`click`), `true` and `false` set an attribute or leave it out. */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  properties: Properties = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === 'function') element.addEventListener(name, value)
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? '' : String(value))
  }
  element.append(...children.filter(child => child !== null && child !== undefined && child !== false))
  return element
}

/** A list whose elements stay as they are while their items do, so that focus, choices and open details survive a refresh. */
export class KeyedList<Item> {
  readonly #shown = new Map<string, { readonly print: string; readonly element: HTMLElement }>()

  constructor(
    readonly container: HTMLElement,
    private readonly keyOf: (item: Item) => string,
    /** What is shown of an item, as a text: where it differs the element is made anew. */
    private readonly printOf: (item: Item) => string,
    private readonly make: (item: Item) => HTMLElement,
  ) {}

  /** Where the element that has the focus goes, the focus moves to the one in its place, or to `fallback`. */
  update(items: readonly Item[], fallback: HTMLElement): void {
    const { container } = this
    const focused = (container.getRootNode() as ShadowRoot).activeElement
    const place = [...container.children].findIndex(child => child.contains(focused))
    const stale = new Set(this.#shown.keys())
    let before: Element | null = null
    for (const item of items) {
      const key = this.keyOf(item)
      stale.delete(key)
      const element = this.#elementFor(key, item)
      const next: Element | null = before ? before.nextElementSibling : container.firstElementChild
      // what is in its place is not moved, for it would lose the focus
      if (element !== next) container.insertBefore(element, next)
      before = element
    }
    for (const key of stale) {
      this.#shown.get(key)?.element.remove()
      this.#shown.delete(key)
    }
    if (place >= 0 && !focused?.isConnected)
      ((container.children[Math.min(place, container.children.length - 1)] ?? fallback) as HTMLElement).focus()
  }

  #elementFor(key: string, item: Item): HTMLElement {
    const [print, known] = [this.printOf(item), this.#shown.get(key)]
    if (known?.print === print) return known.element
    const element = this.make(item)
    // in the place of the old one, which is gone at once
    known?.element.replaceWith(element)
    this.#shown.set(key, { print, element })
    return element
  }
}
