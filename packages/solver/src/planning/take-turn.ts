/**
 * Ends the current turn of the event loop: what is shown of the progress, and the signal of someone who does not want to wait, come through.
 * A search computes for seconds, and a promise that is kept at once is no such end.
 * @throws the signal's reason where it is aborted.
 */
export async function takeTurn(signal: AbortSignal | undefined): Promise<void> {
  await new Promise<void>((resolve) => setTimeout(resolve, 0));
  signal?.throwIfAborted();
}
