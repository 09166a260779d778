export const MOST_COLUMNS: number;
export function fault(file: string, text: string): string | null;
