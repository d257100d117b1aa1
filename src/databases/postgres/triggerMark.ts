/** What a function begins with that is ours; behind it stands its version. */
export const TRIGGER_MARK = '/* typeorm-sync '
