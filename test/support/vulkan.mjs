// Picks the Vulkan driver behind WebGPU for tests, benchmarks and the demo; the library itself never does. Plain JavaScript,
// so that scripts can import it without a loader. VRAM_RESIDENCY_TEST_ADAPTER=auto|mesa|swiftshader|host; auto takes the
// first there is of: the machine's own GPU, Mesa's CPU driver, the SwiftShader that an npm package carries, the host
// backend.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { cached, npmChromiumPackage, unpackTar } from './npm-chromium.mjs';

const CHOICES = ['auto', 'mesa', 'swiftshader', 'host'];
const ICD_FOLDERS = ['/usr/share/vulkan/icd.d', '/usr/local/share/vulkan/icd.d', '/etc/vulkan/icd.d'];
const CPU_ADAPTERS = /llvmpipe|lavapipe|swiftshader|basic render|warp\b/i;
const RTLD_NOW_NODELETE = 0x1002;

// Dawn's instances have to stay referenced, or Node crashes when they are collected.
const instances = [];
let prepared = null;

/** What the environment asks for. */
export function requestedAdapter() {
  const choice = process.env.VRAM_RESIDENCY_TEST_ADAPTER || 'auto';
  if (!CHOICES.includes(choice)) {
    throw new Error(`VRAM_RESIDENCY_TEST_ADAPTER must be one of ${CHOICES.join(', ')}, got ${choice}`);
  }
  return choice;
}

/** Prepares this process, once; has to come before the first use of WebGPU. Prints the choice on stderr. */
export function prepareVulkan() {
  prepared ??= choose(requestedAdapter()).then((chosen) => {
    process.stderr.write(`WebGPU adapter: ${chosen.adapter} (${chosen.description})\n`);
    return chosen;
  });
  return prepared;
}

async function choose(choice) {
  const hostOnly = (reason) => ({ adapter: 'host', description: `HOST MEMORY, NOT VRAM: ${reason}` });
  if (choice === 'host') return hostOnly('VRAM_RESIDENCY_TEST_ADAPTER=host');
  const create = await loadCreate();
  if (create === null) {
    if (choice !== 'auto')
      throw new Error(`${choice} was asked for, but the npm package webgpu is not installed`);
    return hostOnly('the npm package webgpu is not installed');
  }
  if (choice === 'mesa') return forced(choice, (await useMesa()) ? await probe(create) : null);
  if (choice === 'swiftshader') return forced(choice, (await useSwiftShader()) ? await probe(create) : null);
  const found = await probe(create);
  if (found !== null) return found;
  const software = (await useSwiftShader()) ? await probe(create) : null;
  return software ?? hostOnly('no WebGPU adapter was found');
}

function forced(choice, found) {
  if (found?.adapter === choice) return found;
  const driver = process.env.VK_DRIVER_FILES;
  const missing = driver ? `is not there; VK_DRIVER_FILES is ${driver}` : 'is not there';
  const instead = found === null ? missing : `is not what WebGPU found: ${found.description}`;
  throw new Error(`VRAM_RESIDENCY_TEST_ADAPTER=${choice}, but ${choice} ${instead}`);
}

async function loadCreate() {
  try {
    return (await import('webgpu')).create;
  } catch (error) {
    if (error.code === 'ERR_MODULE_NOT_FOUND' || error.code === 'MODULE_NOT_FOUND') return null;
    throw error;
  }
}

/** The adapter that Dawn finds with the drivers of this moment; null if none. */
async function probe(create) {
  const gpu = create([]);
  instances.push(gpu);
  const adapter =
    (await gpu.requestAdapter({ powerPreference: 'high-performance' })) ?? (await gpu.requestAdapter());
  if (adapter === null) return null;
  const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info;
  const name = [vendor, architecture, device, description].filter(Boolean).join(' ');
  return { adapter: kindOf(name, isFallbackAdapter), description: description || name };
}

function kindOf(name, isFallbackAdapter) {
  if (/swiftshader/i.test(name)) return 'swiftshader';
  if (/llvmpipe|lavapipe/i.test(name)) return 'mesa';
  return isFallbackAdapter || CPU_ADAPTERS.test(name) ? 'software' : 'hardware';
}

function useDriver(file) {
  process.env.VK_DRIVER_FILES = file;
  // The name that older loaders know.
  process.env.VK_ICD_FILENAMES = file;
}

async function useMesa() {
  // A Mesa that is unpacked and not installed, for example. The adapter tells whether it is one.
  const named = process.env.VK_DRIVER_FILES || process.env.VK_ICD_FILENAMES;
  if (named) {
    useDriver(named);
    return true;
  }
  for (const folder of ICD_FOLDERS) {
    const names = await readdir(folder).catch((error) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    const name = names.find((candidate) => /^lvp_icd.*\.json$/.test(candidate));
    if (name === undefined) continue;
    useDriver(join(folder, name));
    return true;
  }
  return false;
}

/** SwiftShader and a Vulkan loader from @sparticuz/chromium; Dawn finds the loader because it is in the process already. */
async function useSwiftShader() {
  if (process.platform !== 'linux' || process.arch !== 'x64') return false;
  const found = await npmChromiumPackage();
  if (found === null) return false;
  const folder = await cached(`swiftshader-${found.version}`, (half) =>
    unpackTar(join(found.bin, 'swiftshader.tar.br'), half),
  );
  useDriver(join(folder, 'vk_swiftshader_icd.json'));
  try {
    process.dlopen({ exports: {} }, join(folder, 'libvulkan.so.1'), RTLD_NOW_NODELETE);
  } catch (error) {
    // It is not a Node addon and says so, but it is loaded.
    if (!/did not self-register/.test(error.message)) throw error;
  }
  return true;
}
