/** The outcome of one case. */
export type Outcome =
  | { readonly name: string; readonly status: 'passed' }
  | { readonly name: string; readonly status: 'failed'; readonly error: string }
  | { readonly name: string; readonly status: 'skipped'; readonly reason: string };

/** Thrown by a case that cannot run here; never counts as passed, and is checked against the expected skips. */
export class CaseSkipped extends Error {
  override readonly name = 'CaseSkipped';
}

/** Thrown by a case that would void this process's CUDA context: it runs again in a separate process. */
export class NeedsOwnProcess extends Error {
  override readonly name = 'NeedsOwnProcess';

  constructor() {
    super('the case voids the CUDA context of its process');
  }
}
