export function removeStaleOutputs(sources: string, outputs: string, others?: string): string[];
