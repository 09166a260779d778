import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

interface Locked {
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly devOptional?: boolean;
  readonly peer?: boolean;
}

const at = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url));

it('SECURITY.md counts the packages that a user installs as the lock file has them', async () => {
  const lock: { packages: Record<string, Locked> } = JSON.parse(
    await readFile(at('package-lock.json'), 'utf8'),
  );
  const installed = Object.entries(lock.packages).filter(
    ([path, { dev, peer }]) => path !== '' && !dev && !peer,
  );
  const needed = installed.filter(([, { optional, devOptional }]) => !optional && !devOptional);
  const text = await readFile(at('SECURITY.md'), 'utf8');
  expect(text).toContain(`${installed.length} packages in all`);
  expect(text).toContain(`\`npm install --omit=optional\` leaves ${needed.length}`);
});
