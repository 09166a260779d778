/** Bytes of code, styles and markup after gzip, each with those before it, without ONNX Runtime Web. */
export interface WebSizes {
  /** What the page needs to be seen and used. */
  readonly page: number;
  /** With what its worker loads before a model is chosen. */
  readonly start: number;
  /** Once a file has been sealed. */
  readonly file: number;
  /** Once the text reader has read. */
  readonly reader: number;
}
export interface WebBuild {
  readonly folder: string;
  readonly sizes: WebSizes;
}
export declare const WEB_FOLDER: string;
export declare const MOST_BYTES: WebSizes;
export declare const CONTENT_SECURITY_POLICY: string;
export declare function buildWeb(folder?: string): Promise<WebBuild>;
