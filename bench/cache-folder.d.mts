export function cacheFolder(): string;
export function cacheFolderPath(): string;
