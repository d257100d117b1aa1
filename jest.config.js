const swc = {
  swcrc: false,
  sourceMaps: 'inline',
  module: { type: 'commonjs' },
  jsc: {
    target: 'es2022',
    keepClassNames: true,
    parser: { syntax: 'typescript', decorators: true },
    transform: { legacyDecorator: true, decoratorMetadata: true, useDefineForClassFields: false },
  },
}

/** @type {import('jest').Config} */
export default {
  testEnvironment: 'node',
  testMatch: ['<rootDir>/spec/**/*.spec.ts'],
  // what a test waits for may take long on a slow machine that has more to do
  testTimeout: 300_000,
  maxWorkers: 2,
  // jose, which the docs use, and Nest are ES modules alone
  transform: { '^.+\\.ts$': ['@swc/jest', swc], '/node_modules/(jose|@nestjs)/.+\\.js$': ['@swc/jest', swc] },
  transformIgnorePatterns: ['/node_modules/(?!(jose|@nestjs)/)'],
  moduleNameMapper: {
    '^typeorm-sync$': '<rootDir>/src/index.ts',
    '^typeorm-sync/react$': '<rootDir>/src/react/index.ts',
    '^typeorm-sync/browser$': '<rootDir>/browser/index.ts',
    '^typeorm-sync/server$': '<rootDir>/server/index.ts',
    '^typeorm-sync/server-koa$': '<rootDir>/server-koa/index.ts',
    '^typeorm-sync/inspector$': '<rootDir>/inspector/index.ts',
    // sources import './x.js', as Node wants it; here that file is x.ts
    '^(\\.{1,2}/.*)\\.js$': '$1',
  },
  setupFiles: ['<rootDir>/spec/support/keepAlive.ts'],
  testSequencer: '<rootDir>/spec/support/sequencer.cjs',
  reporters: ['default', '<rootDir>/spec/support/summary-reporter.mjs'],
}
