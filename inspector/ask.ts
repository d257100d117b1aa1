// A question before what cannot be undone, or what reaches further than it seems.

import { h } from './dom.js'

export interface Question {
  readonly title: string
  readonly sentences: readonly string[]
  /** To choose from; the first is chosen. */
  readonly choices?: readonly { readonly value: string; readonly label: string }[]
  readonly confirm: string
}

/** Asks; gives the choice, or `yes` where there was none to make; undefined: leave it. */
export function ask(root: ShadowRoot, { title, sentences, choices = [], confirm }: Question): Promise<string | undefined> {
  return new Promise(resolve => {
    const choose = choices.map(({ value, label }, i) =>
      h('label', { class: 'choice' }, h('input', { type: 'radio', name: 'choice', value, checked: i === 0 }), h('span', {}, label)),
    )
    const dialog = h(
      'dialog',
      { 'aria-labelledby': 'question', 'aria-describedby': 'consequence' },
      h(
        'form',
        { method: 'dialog' },
        h('h2', { id: 'question' }, title),
        h('div', { id: 'consequence' }, ...sentences.map(sentence => h('p', {}, sentence))),
        choose.length > 0 && h('fieldset', { class: 'choices' }, h('legend', { class: 'hidden' }, title), ...choose),
        h(
          'div',
          { class: 'actions' },
          // the harmless one first: it has the focus
          h('button', { value: 'no', class: 'quiet' }, 'Cancel'),
          h('button', { value: 'yes', class: 'danger' }, confirm),
        ),
      ),
    )
    dialog.addEventListener('close', () => {
      const chosen = dialog.querySelector<HTMLInputElement>('input:checked')?.value ?? 'yes'
      dialog.remove()
      resolve(dialog.returnValue === 'yes' ? chosen : undefined)
    })
    root.append(dialog)
    dialog.showModal()
  })
}
