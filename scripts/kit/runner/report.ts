import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';

export const STATUSES = ['passed', 'failed', 'skipped', 'timed-out'] as const;
export type Status = (typeof STATUSES)[number];

/** JSON. */
export type Figure =
  | string
  | number
  | boolean
  | null
  | readonly Figure[]
  | { readonly [name: string]: Figure };
export type Figures = Readonly<Record<string, Figure>>;

/** One line of report.ndjson. */
export interface ReportLine {
  readonly v: 1;
  readonly step: string;
  readonly status: Status;
  readonly wallMs: number;
  readonly limitMs: number;
  /** Why it did not pass; null if it did. */
  readonly reason: string | null;
  readonly figures: Figures;
}

/** The report on disk: a line is complete as soon as its step has ended, whatever happens next. */
export class ReportFile {
  readonly #file: number;

  /** Errors: those of the file system; EEXIST where another run has reported. */
  constructor(path: string) {
    this.#file = openSync(path, 'wx');
  }

  append(line: ReportLine): void {
    writeSync(this.#file, `${JSON.stringify(line)}\n`);
    fsyncSync(this.#file);
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** The figure at a path like `gpu.name`; undefined where there is none. */
export function figureAt(figures: Figures, path: string): Figure | undefined {
  let at: Figure | undefined = figures;
  for (const name of path.split('.')) {
    if (typeof at !== 'object' || at === null || Array.isArray(at)) return undefined;
    at = Object.entries(at).find(([key]) => key === name)?.[1];
  }
  return at;
}

/** Paths without a value: absent, null, or an empty list. */
export function missingFigures(figures: Figures, paths: readonly string[]): string[] {
  return paths.filter((path) => {
    const figure = figureAt(figures, path);
    return figure === undefined || figure === null || (Array.isArray(figure) && figure.length === 0);
  });
}
