import type { Browser } from 'playwright';

export function launchChromium(options?: { readonly backForwardCache?: boolean }): Promise<{
  browser: Browser;
  from: string;
  version: string;
  adapter: string;
}>;
