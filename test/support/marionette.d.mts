/** One tab of a browser that is driven from outside. */
export interface DrivenBrowser {
  readonly version: string;
  open(url: string): Promise<void>;
  /** `script` is the body of a function; what it returns must be JSON. */
  evaluate(script: string, ...args: readonly unknown[]): Promise<unknown>;
  click(selector: string): Promise<void>;
  /** `path`: of a file on this machine. */
  choose(selector: string, path: string): Promise<void>;
  /** PNG. */
  screenshot(): Promise<Buffer>;
  close(): Promise<void>;
}
export declare function findFirefox(): string | null;
/** Errors: where it cannot be started, or does not open its port within a minute. */
export declare function launchFirefox(path: string): Promise<DrivenBrowser>;
