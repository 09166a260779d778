export function bundleSuites(options: { readonly outfile: string; readonly dist: string }): Promise<void>;
