/** What a function of ours begins with; its version follows. */
export const TRIGGER_MARK = '/* typeorm-sync '
