import { describe, expect, it } from 'vitest';
import { cli } from '../support/cli.js';

describe('errors about arguments', () => {
  it.each([
    ['an option that takes a choice', ['check', '--policy', 'a\u001b[31m', 'file']],
    ['an option with a form', ['check', '--device', 'a\u001b[31m\u202e', 'file']],
    ['an unknown option', ['check', '--x\u001b]0;title\u0007', 'file']],
    ['an unknown command', ['\u009b2Jcheck']],
  ])('[IV-007] %s is repeated with its control characters escaped', async (_what, args) => {
    const { code, stdout, stderr } = await cli(args);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/\\u\{(1b|9b)\}/);
    expect(stderr).not.toMatch(/[^\P{Cc}\n]|\p{Cf}/u);
  });
});
