import type { DrivenBrowser } from './marionette.mjs';

export declare function findWebKit(): string | null;
/** Errors: where it cannot be started, or does not answer in time. */
export declare function launchWebKit(path: string): Promise<DrivenBrowser>;
