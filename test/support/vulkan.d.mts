export type TestAdapter = 'hardware' | 'mesa' | 'swiftshader' | 'software' | 'host';

/** What the environment asks for. */
export function requestedAdapter(): 'auto' | 'mesa' | 'swiftshader' | 'host';

/** Prepares this process, once; has to come before the first use of WebGPU. `software`: another driver on the CPU. */
export function prepareVulkan(): Promise<{ adapter: TestAdapter; description: string }>;
