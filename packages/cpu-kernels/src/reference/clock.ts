/** Time and turns of the event loop, in Node and in a browser. */

const { process: nodeProcess } = globalThis as { process?: { hrtime?: { bigint(): bigint } } };

/** Milliseconds of the clock of `process.hrtime()` where there is one, so that stretches of several devices compare; else of `performance.now()`. */
export const monotonicMs: () => number =
  nodeProcess?.hrtime === undefined ? () => performance.now() : () => Number(nodeProcess.hrtime!.bigint()) / 1e6;

type SetImmediate = (callback: () => void) => unknown;
const { setImmediate: nodeSetImmediate } = globalThis as { setImmediate?: SetImmediate };

/** A message to oneself: unlike `setTimeout` it is not slowed down to 4 ms when nested. */
function postTurn(): SetImmediate {
  const waiting: (() => void)[] = [];
  const { port1, port2 } = new MessageChannel();
  (port1 as unknown as { onmessage: () => void }).onmessage = () => waiting.shift()?.();
  return (callback) => {
    waiting.push(callback);
    port2.postMessage(undefined);
  };
}

const nextTurn = nodeSetImmediate ?? postTurn();

/** Resolves in the next turn of the event loop: pending input and timers go first. */
export function yieldToEventLoop(): Promise<void> {
  return new Promise((resolve) => void nextTurn(resolve));
}
