/** Writes the file into the cache folder and gives its path. @throws RegistryUnreachableError where it cannot be fetched. */
export function convertStories15m(dtype: "f32" | "f16"): Promise<string>;
/** The file in the cache folder, made where it is missing; undefined, with a line of warning, where the registry cannot be reached. */
export function stories15mPath(dtype: "f32" | "f16"): Promise<string | undefined>;
