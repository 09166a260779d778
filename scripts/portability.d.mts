export const OLDEST_GLIBC: string;
export function portabilityProblems(bytes: Uint8Array): readonly string[];
