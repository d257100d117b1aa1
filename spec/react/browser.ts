// A page without a browser. It has to be imported before React's test library.

import { afterAll } from '@jest/globals'
import { JSDOM } from 'jsdom'

const { window } = new JSDOM('<!doctype html><body></body>', { url: 'http://localhost/' })
const globals = { window, document: window.document, navigator: window.navigator, IS_REACT_ACT_ENVIRONMENT: true }
for (const [name, value] of Object.entries(globals)) Object.defineProperty(globalThis, name, { value, configurable: true, writable: true })

afterAll(() => {
  for (const name of Object.keys(globals)) delete (globalThis as Record<string, unknown>)[name]
  window.close()
})
