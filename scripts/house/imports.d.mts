export interface HouseFile {
  /** Below the folder that was read, such as `seal/key.ts`. */
  readonly file: string;
  readonly lines: number;
  /** Files of the house that it imports, types too, each once. */
  readonly imports: readonly string[];
  /** Modules from elsewhere, such as `node:fs` or `pino`. */
  readonly external: readonly string[];
}

export function sourceFiles(folder: string): string[];
export function specifiersOf(text: string): string[];
export function readHouse(folder: string): HouseFile[];
