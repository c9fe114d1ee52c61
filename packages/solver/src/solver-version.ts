import manifest from "../package.json" with { type: "json" };

/** Of @thermocline/solver: plans say which one made them. */
export const solverVersion: string = manifest.version;
