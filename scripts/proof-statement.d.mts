export function bundleStatement(
  sums: string,
  summary: {
    readonly complete: boolean;
    readonly passed: number;
    readonly failed: number;
    readonly skipped: number;
  },
): string;
