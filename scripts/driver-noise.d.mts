export function quietLines(write: (text: string) => void): { take(chunk: string): void; end(): void };
