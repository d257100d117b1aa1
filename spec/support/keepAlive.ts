// A server of Node closes a connection that was idle for five seconds, which is reset under a client that uses it in just that moment. In specs no
// server does: clients close what they do not need, and a spec that ends closes the rest.

import { Server } from 'node:http'

const { prototype } = Server
const { listen } = prototype
// the specs of a worker share the modules of Node
if (!Object.hasOwn(prototype, 'listen'))
  prototype.listen = function (this: Server, ...given: unknown[]) {
    this.keepAliveTimeout = 0
    return Reflect.apply(listen, this, given)
  } as typeof listen
