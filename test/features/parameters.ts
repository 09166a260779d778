import { ParameterType, ParameterTypeRegistry } from '@cucumber/cucumber-expressions';
import type { ResidencyFacts } from '../../src/device/index.js';
import { phraseParameter } from './gherkin.js';

const UNIT_BYTES = new Map([
  ['byte', 1],
  ['bytes', 1],
  ['KiB', 1024],
  ['MiB', 1024 * 1024],
]);

export const TAMPERINGS: Readonly<Record<string, (signature: string, other: string) => unknown>> = {
  removed: () => undefined,
  emptied: () => '',
  'replaced by nothing but A': (signature) => 'A'.repeat(signature.length),
  'replaced by that of another shard': (_, other) => other,
  'shortened by one character': (signature) => signature.slice(0, -1),
  'shortened to one character': (signature) => signature.slice(0, 1),
  'lengthened by one character': (signature) => `${signature}A`,
  'written twice': (signature) => signature + signature,
  'changed in its first character': (signature) =>
    (signature.startsWith('A') ? 'B' : 'A') + signature.slice(1),
  'changed in its middle': (signature) =>
    signature.slice(0, 20) + (signature[20] === 'A' ? 'B' : 'A') + signature.slice(21),
  'padded with an equals sign': (signature) => `${signature}=`,
  'written in hexadecimal': (signature) => Buffer.from(signature, 'base64url').toString('hex'),
  'surrounded by blanks': (signature) => ` ${signature} `,
  'turned into a number': () => 7,
};

const DISCRETE: ResidencyFacts = {
  backend: 'cuda',
  execution: 'hardware',
  integrated: false,
  memoryType: 'device',
  fallbackAdapter: null,
  pageable: false,
  computeCapability: { major: 9, minor: 0 },
  totalBytes: 80e9,
  driverOverride: false,
  driverFile: '/usr/lib/x86_64-linux-gnu/libcuda.so.550.54.14',
  driverDoubt: null,
  kernelsReplaced: false,
};

/** What a platform might say of its memory. */
export const MEMORY: Readonly<Record<string, ResidencyFacts>> = {
  'a GPU with its own memory': DISCRETE,
  'a GPU that shares its memory with the CPU': { ...DISCRETE, integrated: true },
  'a GPU with managed memory': { ...DISCRETE, memoryType: 'managed' },
  'a GPU whose driver reports host memory': { ...DISCRETE, memoryType: 'host' },
  'a GPU whose memory the system may page out': { ...DISCRETE, pageable: true },
  'a GPU that WebGPU does not describe': {
    ...DISCRETE,
    backend: 'webgpu',
    memoryType: null,
    integrated: null,
    fallbackAdapter: false,
  },
  'a WebGPU adapter that is a CPU': {
    ...DISCRETE,
    backend: 'webgpu',
    memoryType: null,
    fallbackAdapter: true,
  },
  'an emulated driver': { ...DISCRETE, execution: 'emulated' },
  'a driver from an overridden path': { ...DISCRETE, driverOverride: true },
};

export const SECOND_WORKERS = ['another token', 'another name', 'the same token and name'] as const;
export const EXPECTATIONS = [
  'their sha256',
  'their fs-verity digest',
  'both of their digests',
  'the sha256 of other weights',
  'the fs-verity digest of other weights',
  'a digest of half the length',
  'a digest of an unknown kind',
] as const;
export const MISBEHAVIOURS = [
  'changes while it is read',
  'ends too soon',
  'gives more than it announced',
  'fails halfway',
] as const;
export const LOG_CHANGES = [
  'changed letter',
  'record removed',
  'record written twice',
  'pair of records swapped',
  'record of an invented event',
] as const;

/** What step texts may hold besides quoted text and numbers. */
export function parameterTypes(): ParameterTypeRegistry {
  const registry = new ParameterTypeRegistry();
  registry.defineParameterType(
    new ParameterType(
      'size',
      /(\d[\d,]*) (bytes|byte|KiB|MiB)/,
      null,
      (count: string, unit: string) =>
        Number(count.replaceAll(',', '')) * (UNIT_BYTES.get(unit) ?? Number.NaN),
      false,
      false,
    ),
  );
  registry.defineParameterType(
    new ParameterType('code', /[A-Z]+(?:_[A-Z]+)*/, null, (text: string) => text, false, false),
  );
  registry.defineParameterType(phraseParameter('content', ['weights', 'zeros', 'ones']));
  registry.defineParameterType(phraseParameter('tampering', Object.keys(TAMPERINGS)));
  registry.defineParameterType(phraseParameter('memory', Object.keys(MEMORY)));
  registry.defineParameterType(phraseParameter('difference', SECOND_WORKERS));
  registry.defineParameterType(phraseParameter('expectation', EXPECTATIONS));
  registry.defineParameterType(phraseParameter('misbehaviour', MISBEHAVIOURS));
  registry.defineParameterType(phraseParameter('logChange', LOG_CHANGES));
  registry.defineParameterType(phraseParameter('deviceStep', ['write', 'freeze', 'root']));
  return registry;
}
