import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { HostileCase } from '../../fuzz/hostile/case.js';
import { GGUF_CASES } from '../../fuzz/hostile/gguf.js';
import { ONNX_CASES } from '../../fuzz/hostile/onnx.js';
import { SAFETENSORS_CASES } from '../../fuzz/hostile/safetensors.js';
import { SHARDED_CASES } from '../../fuzz/hostile/sharded.js';

const document = fileURLToPath(new URL('../../../docs/model-formats.md', import.meta.url));

const CASES: Record<string, readonly HostileCase[]> = {
  safetensors: SAFETENSORS_CASES,
  sharded: SHARDED_CASES,
  gguf: GGUF_CASES,
  onnx: ONNX_CASES,
};

function table(cases: readonly HostileCase[]): string {
  const text = (words: string): string => words.replace(/[\\|_*]/g, '\\$&');
  const code = (words: string): string => `\`${words.replaceAll('|', '\\|')}\``;
  const rows = cases.map(({ what, message }) => `| ${text(what)} | ${code(message)} |`);
  return ['| file | message |', '|---|---|', ...rows].join('\n');
}

describe('docs/model-formats.md', () => {
  it('has every hostile file that is tested, with its message (UPDATE_DOCS=1 writes them)', () => {
    const text = readFileSync(document, 'utf8');
    const written = text.replace(
      /<!-- cases: (\w+) -->\n(?:[^<]|<(?!!-- end))*<!-- end -->/g,
      (_, name: string) => `<!-- cases: ${name} -->\n${table(CASES[name] ?? [])}\n<!-- end -->`,
    );
    if (process.env['UPDATE_DOCS'] === '1') writeFileSync(document, written);
    expect(text === written || process.env['UPDATE_DOCS'] === '1').toBe(true);
    for (const name of Object.keys(CASES)) expect(written).toContain(`<!-- cases: ${name} -->\n| file`);
  });

  it.each(Object.entries(CASES))('has no two cases of one name, and a message for each: %s', (_, cases) => {
    expect(new Set(cases.map(({ what }) => what)).size).toBe(cases.length);
    for (const { message } of cases) expect(message).not.toBe('');
  });
});
