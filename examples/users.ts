// Who may sign in. A demonstration: everybody may know their passwords.

export interface User {
  readonly name: string
  readonly password: string
}

export const USERS: readonly User[] = [
  { name: 'alice', password: 'apple' },
  { name: 'bob', password: 'banana' },
  { name: 'carol', password: 'cherry' },
]
