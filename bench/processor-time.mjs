/**
 * Milliseconds that all threads of this process have run since then.
 * @param {NodeJS.CpuUsage} before
 */
export function processorMsSince(before) {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
