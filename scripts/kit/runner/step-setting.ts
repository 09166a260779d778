/** What the runner tells a step's process, as JSON in the environment variable VRAM_KIT_STEP. */
export interface StepSetting {
  /** Index of the CUDA device. */
  readonly device: number;
  /** Over the test driver: small sizes, no clocks, and any residency class will do. */
  readonly emulated: boolean;
  /** What sweeps aim to take, in milliseconds. */
  readonly budgetMs: number;
  readonly resultFile: string;
  /** A folder of the step's own for temporary files; gone after the run. */
  readonly workFolder: string;
}

export const SETTING_VARIABLE = 'VRAM_KIT_STEP';
/** Inherited by whatever a step starts: emulated.mjs brings failures about in one step's processes alone. */
export const STEP_NAME_VARIABLE = 'VRAM_KIT_STEP_NAME';

/** Errors: a TypeError where the variable is missing or of another form. */
export function readSetting(text: string | undefined): StepSetting {
  const value: unknown = JSON.parse(text ?? 'null');
  if (typeof value !== 'object' || value === null) {
    throw new TypeError(`${SETTING_VARIABLE} is not set: steps are started by run.sh`);
  }
  const { device, emulated, budgetMs, resultFile, workFolder } = value as Partial<
    Record<keyof StepSetting, unknown>
  >;
  if (
    typeof device !== 'number' ||
    typeof emulated !== 'boolean' ||
    typeof budgetMs !== 'number' ||
    typeof resultFile !== 'string' ||
    typeof workFolder !== 'string'
  ) {
    throw new TypeError(`${SETTING_VARIABLE} lacks a field`);
  }
  return { device, emulated, budgetMs, resultFile, workFolder };
}
