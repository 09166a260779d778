/** What is wrong with docs/figures.md of the tree at `root`, a line each. */
export function findings(root: string): string[];
