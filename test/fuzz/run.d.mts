export interface FuzzTarget {
  readonly name: string;
  readonly modules: readonly string[];
  readonly cost?: number;
  readonly missing?: string | null;
}
export interface FuzzReport {
  readonly target: string;
  readonly seed: number;
  readonly runs: number;
  readonly accepted: number;
  readonly refused: number;
  readonly refusals: ReadonlyMap<string, number>;
}
export function loadTargets(): Promise<FuzzTarget[]>;
export class FuzzFailure extends Error {
  readonly input: unknown;
}
export function fuzz(
  target: FuzzTarget,
  load: (module: string) => Promise<unknown>,
  options: { runs: number; seed: number; only?: number | null; onProgress?: (runs: number) => void },
): Promise<FuzzReport>;
