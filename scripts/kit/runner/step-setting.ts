/** Settings that the runner passes to a step's process, as JSON in the environment variable VRAM_KIT_STEP. */
export interface StepSetting {
  /** Index of the CUDA device. */
  readonly device: number;
  /** The run uses the test driver: small sizes, no clocks, and any residency class is accepted. */
  readonly emulated: boolean;
  /** Target time of sweeps, in milliseconds. */
  readonly budgetMs: number;
  readonly resultFile: string;
  /** The step's own folder for temporary files; deleted after the run. */
  readonly workFolder: string;
}

export const SETTING_VARIABLE = 'VRAM_KIT_STEP';
/** Inherited by every process that a step starts, so that emulated.mjs causes failures in one step's processes only. */
export const STEP_NAME_VARIABLE = 'VRAM_KIT_STEP_NAME';

/** Errors: a TypeError if the variable is missing or malformed. */
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
