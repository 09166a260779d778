import type { Browser } from 'playwright';

export function launchChromium(): Promise<{
  browser: Browser;
  from: string;
  version: string;
  adapter: string;
}>;
