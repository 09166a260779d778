/** The command line's surroundings, so that tests can stand in for a terminal. */
export interface CliIo {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  /** Else another program may read it, and gets names as they are. */
  readonly stdoutIsTerminal: boolean;
  readonly stderrIsTerminal: boolean;
  /** Columns of the terminal behind stderr. */
  readonly columns: number;
  readonly env: Readonly<Record<string, string | undefined>>;
  /**
   * Fires when the run is ended from outside: by a signal, or because its output is no longer read. Its reason is a Stop.
   */
  readonly signal: AbortSignal;
}
