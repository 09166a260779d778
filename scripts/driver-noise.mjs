// Filters what Dawn and the Vulkan loader write to stderr although nothing is wrong, and what every test file repeats.
const NOISE = [
  /^Warning: Couldn't load Vulkan: /,
  /^Warning: vkCreateInstance/,
  /^Warning: maxDynamic\w+ artificially reduced/,
  /^ {4}at .*\/third_party\/dawn\//,
];
const ONCE = /^WebGPU adapter: /;

/**
 * Takes chunks of text and passes on the relevant lines, each adapter once. `end` passes on the rest that has no line
 * break.
 */
export function quietLines(write) {
  const said = new Set();
  let rest = '';
  let wasNoise = false;
  const line = (text) => {
    // Dawn ends each warning with an empty line.
    const noise = NOISE.some((pattern) => pattern.test(text)) || (wasNoise && text === '');
    wasNoise = noise;
    if (noise || said.has(text)) return;
    if (ONCE.test(text)) said.add(text);
    write(`${text}\n`);
  };
  return {
    take(chunk) {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop();
      for (const each of lines) line(each);
    },
    end() {
      if (rest !== '') line(rest);
      rest = '';
    },
  };
}
