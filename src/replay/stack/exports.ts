/** What a capturable module exports for the host: its names, and the values of the stack's state. */

// Globals.
export const STATE_EXPORT = "vak:stack-state";
export const POINTER_EXPORT = "vak:stack-pointer";
export const HERE_EXPORT = "vak:stack-here";
// Functions.
export const SAVE_EXPORT = "vak:save-globals";
export const LOAD_EXPORT = "vak:load-globals";

// Values of the state.
export const RUNNING = 0;
export const UNWINDING = 1;
export const REWINDING = 2;
