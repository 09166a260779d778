// The buttons of the page: one operation at a time, and none that has nothing to work on.

/** Everything that starts an operation. */
const ALL = '#model button, #another, #plain';
/** The controls that need a live seal. */
const ON_A_SEAL = '#actions button, #reading button, #compare';

export class Controls {
  #busy = false;
  #live = false;

  /** Whether there is a seal to work on. */
  get live(): boolean {
    return this.#live;
  }

  get busy(): boolean {
    return this.#busy;
  }

  setBusy(busy: boolean): void {
    this.#busy = busy;
    for (const button of buttons(ALL)) {
      button.setAttribute('aria-disabled', String(busy || button.dataset['dead'] !== undefined));
    }
  }

  setLive(live: boolean): void {
    this.#live = live;
    for (const button of buttons(ON_A_SEAL)) {
      if (live) delete button.dataset['dead'];
      else button.dataset['dead'] = '';
    }
    this.setBusy(this.#busy);
  }
}

function buttons(selector: string): NodeListOf<HTMLButtonElement> {
  return document.querySelectorAll<HTMLButtonElement>(selector);
}
