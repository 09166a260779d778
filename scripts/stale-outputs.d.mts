export function removeStaleOutputs(sources: string, outputs: string): string[];
