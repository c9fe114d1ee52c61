import manifest from "../../package.json" with { type: "json" };

/** This package's own. */
export const { version: packageVersion, description: packageDescription } = manifest;
