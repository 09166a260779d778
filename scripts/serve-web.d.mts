export declare function serveWeb(
  folder: string,
  port?: number,
): Promise<{ readonly url: string; close(): Promise<void> }>;
