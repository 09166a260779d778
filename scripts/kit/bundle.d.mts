export function bundleKit(folder: string): Promise<void>;
