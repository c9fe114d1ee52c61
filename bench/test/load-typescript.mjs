/** TypeScript modules of the tests, for scripts: Node 20 does not read them itself. */
import path from "node:path";
import { createViteServer } from "vitest/node";

/**
 * @param {string} file
 * @returns {Promise<Record<string, any>>} The module.
 */
export async function loadTypeScript(file) {
  const server = await createViteServer({
    configFile: false,
    root: path.dirname(file),
    appType: "custom",
    server: { middlewareMode: true, ws: false },
    optimizeDeps: { noDiscovery: true },
    logLevel: "error",
  });
  try {
    return await server.ssrLoadModule(file);
  } finally {
    await server.close();
  }
}
