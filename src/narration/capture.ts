import type { NarratedAction } from './catalogue.js';
import type { Narration, NarrationSink } from './types.js';

/** An action, and any other fields that must match. */
export type ExpectedNarration = { readonly action: NarratedAction } & Partial<Omit<Narration, 'action'>>;

/** Collects narrations, for tests of services built on this library. */
export class NarrationCapture implements NarrationSink {
  readonly #told: Narration[] = [];

  get told(): readonly Narration[] {
    return this.#told;
  }

  /** Stores a narration. */
  tell(narration: Narration): void {
    this.#told.push(narration);
  }

  /** Drops the stored narrations. */
  clear(): void {
    this.#told.length = 0;
  }

  /** The narrated actions, in order. */
  actions(): string[] {
    return this.#told.map(({ action }) => action);
  }

  /** Throws unless these were narrated in this order, each with these fields; others may come between. */
  assertToldInOrder(expected: readonly ExpectedNarration[]): void {
    let from = 0;
    expected.forEach((pattern, position) => {
      const at = this.#told.findIndex((narration, index) => index >= from && matches(narration, pattern));
      if (at < 0) {
        throw new Error(
          `narration ${position} (${JSON.stringify(pattern)}) was not narrated; narrated from there on: ` +
            `${this.actions().slice(from).join(', ') || 'nothing'}`,
        );
      }
      from = at + 1;
    });
  }

  /** Throws if any narration matches. */
  assertNotTold(unwanted: ExpectedNarration): void {
    if (this.#told.some((narration) => matches(narration, unwanted))) {
      throw new Error(`${JSON.stringify(unwanted)} was narrated`);
    }
  }
}

function matches(narration: Narration, expected: ExpectedNarration): boolean {
  const fields = new Map<string, unknown>(Object.entries(narration));
  return Object.entries(expected).every(([name, value]) => fields.get(name) === value);
}
