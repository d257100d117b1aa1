// Preloaded (--import) where better-sqlite3 cannot be used: the harness, which stays as it is, then gets libsql under that name.

import { register } from 'node:module'
import { isMainThread } from 'node:worker_threads'

const libsql = new URL('./libsql.mjs', import.meta.url).href

// Node runs hooks in a thread of their own, which loads this file once more
if (isMainThread) register(import.meta.url)

export const resolve = (specifier, context, next) => next(specifier === 'better-sqlite3' ? libsql : specifier, context)
