// Who sees and changes what in the to-do list.

import { keys, type Principal, rule } from 'typeorm-sync/server-koa'
import { Holiday, Member, Photo, Project, Task } from './model.js'

/** The lists in which a user has one of these roles. */
const lists = (p: Principal, ...role: Member['role'][]) => keys(Member, 'project', { user: p.id, role })
const seen = (p: Principal) => lists(p, 'owner', 'writer', 'reader')
const written = (p: Principal) => lists(p, 'owner', 'writer')
const owned = (p: Principal) => lists(p, 'owner')

export const rules = [
  rule(Project, { read: p => ({ id: seen(p) }), write: p => ({ id: owned(p) }) }),
  rule(Member, {
    read: p => ({ project: seen(p) }),
    write: {
      create: p => ({ project: owned(p) }),
      update: p => ({ project: owned(p) }),
      remove: p => [{ project: owned(p) }, { user: p.id }], // everybody may leave
    },
  }),
  rule(Task, { read: p => ({ project: seen(p) }), write: p => ({ project: written(p) }) }),
  rule(Photo, { read: p => ({ 'task.project': seen(p) }), write: p => ({ 'task.project': written(p) }) }),
  rule(Holiday, { read: () => true, write: () => false }),
]
