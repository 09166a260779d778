import { expect, it } from 'vitest';
import { quietLines } from '../../../scripts/driver-noise.mjs';

function linesOf(...chunks: readonly string[]): string {
  let text = '';
  const lines = quietLines((line) => {
    text += line;
  });
  for (const chunk of chunks) lines.take(chunk);
  lines.end();
  return text;
}

it('leaves out what Dawn and the Vulkan loader write although nothing is wrong, wherever a chunk ends', () => {
  const noise = [
    "Warning: Couldn't load Vulkan: libvulkan.so.1: cannot open shared object file: No such file or directory",
    '    at operator() (/home/x/third_party/dawn/src/dawn/native/vulkan/BackendVk.cpp:368)',
    '',
    'Warning: vkCreateInstance: Found no drivers!',
    'Warning: vkCreateInstance failed with VK_ERROR_INCOMPATIBLE_DRIVER',
    '    at CheckVkSuccessImpl (/home/x/third_party/dawn/src/dawn/native/vulkan/VulkanError.cpp:106)',
    '',
    'Warning: maxDynamicUniformBuffersPerPipelineLayout artificially reduced from 1000000 to 16 to fit.',
    '',
  ].join('\n');
  const text = `before\n${noise}\n\nafter\n`;
  for (const size of [1, 7, 4096]) {
    const chunks = text.match(new RegExp(`[^]{1,${size}}`, 'g')) ?? [];
    expect(linesOf(...chunks)).toBe('before\nafter\n');
  }
});

it('hands on everything else, empty lines and a last line without its end as well', () => {
  const text = 'Warning: another one\n    at home (file.ts:1)\n\nlast';
  expect(linesOf(text)).toBe(`${text}\n`);
});

it('names an adapter once', () => {
  const line = 'WebGPU adapter: swiftshader (SwiftShader driver 5.0.0)\n';
  expect(linesOf(line, line, 'WebGPU adapter: mesa (llvmpipe)\n', line)).toBe(
    `${line}WebGPU adapter: mesa (llvmpipe)\n`,
  );
});
