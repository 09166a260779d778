export interface WebBuild {
  readonly folder: string;
  /** Bytes after gzip, by file, of what is loaded before a model is chosen. */
  readonly sizes: Readonly<Record<string, number>>;
  readonly total: number;
  /** The same of the library, which the worker loads meanwhile. */
  readonly library: number;
}
export declare const WEB_FOLDER: string;
export declare const MOST_PAGE_BYTES: number;
export declare const MOST_LIBRARY_BYTES: number;
export declare const CONTENT_SECURITY_POLICY: string;
export declare function buildWeb(folder?: string): Promise<WebBuild>;
