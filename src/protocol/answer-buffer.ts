/** The shared memory in which the kernel answers a worker that cannot receive messages. */

/**
 * How the kernel reaches a worker that sleeps in `Atomics.wait`, or whose event loop never turns: three Int32, then the
 * bytes of an answer. STATE is IDLE until the kernel sets it to ANSWERED or STOPPED; PAUSED is 1 while the guest must
 * stand still. The kernel notifies after each change.
 */
export const AnswerBuffer = {
  STATE: 0,
  LENGTH: 1,
  PAUSED: 2,
  HEADER_BYTES: 16,
  IDLE: 0,
  ANSWERED: 1,
  STOPPED: 2,
} as const;
