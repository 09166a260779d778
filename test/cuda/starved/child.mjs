// Started by starved-host.test.ts with the addon, the test driver and the preloaded host: runs one of the two scenarios
// and prints a JSON document.
import { createRequire } from 'node:module';
import { argv, dlopen, stdout } from 'node:process';

const [, , scenario, addonPath, driverPath, hostPath] = argv;

function load(path) {
  const holder = { exports: {} };
  dlopen(holder, path);
  return holder.exports;
}

const host = load(hostPath);
const emulator = load(driverPath);
const addon = createRequire(import.meta.url)(addonPath);
const PTX = '.version 8.0\n.target sm_75\n.address_size 64\n.visible .entry k(.param .u64 a)\n{\n\tret;\n}\n';
const BYTES = 4096;
/** A call that has not ended by then never will. */
const HANGS_AFTER_MS = 20_000;

/** How a call ended: `resolved`, or how and with which code it failed. */
async function ending(call) {
  const work = (async () => {
    let promise;
    try {
      promise = call();
    } catch (error) {
      return `threw ${error?.code}`;
    }
    return await promise.then(
      () => 'resolved',
      (error) => `rejected ${error?.code}`,
    );
  })();
  let timer;
  const hang = new Promise((resolve) => {
    timer = setTimeout(() => resolve('hangs'), HANGS_AFTER_MS);
  });
  const how = await Promise.race([work, hang]);
  clearTimeout(timer);
  return how;
}

async function threads() {
  const refused = {};
  host.failThreads(1);
  refused.load = await ending(() => addon.load(driverPath));
  host.failThreads(0);
  const driver = await addon.load(driverPath);
  host.failThreads(1);
  refused.open = await ending(() => addon.open(driver, 0, BYTES));
  host.failThreads(0);
  const contexts = emulator.calls().cuDevicePrimaryCtxRetain ?? 0;
  const device = await addon.open(driver, 0, BYTES);
  const opened = (emulator.calls().cuDevicePrimaryCtxRetain ?? 0) - contexts;
  await addon.close(device);
  return { refused, contexts, opened, left: emulator.liveAllocations().total };
}

/** Each call of the addon with each of its requests for memory refused, alone and with all that follow. */
async function allocations() {
  const driver = await addon.load(driverPath);
  const device = await addon.open(driver, 0, BYTES);
  const memory = await addon.allocate(device, BYTES, true);
  const module = await addon.loadModule(device, PTX);
  const opened = [];
  const calls = {
    load: () => addon.load(driverPath),
    driverFiles: () => addon.driverFiles(driver),
    devices: () => addon.devices(driver),
    open: async () => opened.push(await addon.open(driver, 0, BYTES)),
    close: () => addon.close(opened[0] ?? device).then(() => opened.shift()),
    memoryInfo: () => addon.memoryInfo(device),
    allocate: () => addon.allocate(device, BYTES, true),
    pointerInfo: () => addon.pointerInfo(memory),
    write: () => addon.write(memory, 0, new Uint8Array(BYTES)),
    drain: () => addon.drain(memory),
    read: () => addon.read(memory, 0, BYTES),
    fill: () => addon.fill(memory, 0, BYTES, 1),
    copy: () => addon.copy(memory, 0, memory, 0, BYTES),
    protect: () => addon.protect(memory, false),
    loadModule: () => addon.loadModule(device, PTX),
    launch: () => addon.launch(module, 'k', [1, 1, 1], [1, 1, 1], [{ memory, offset: 0, length: BYTES }]),
    failing: () => addon.launch(module, 'no such kernel', [1, 1, 1], [1, 1, 1], []),
    synchronize: () => addon.synchronize(device),
    allocateAndRelease: () => addon.allocate(device, BYTES, true).then((taken) => addon.release(taken)),
  };
  const endings = {};
  for (let i = 0; i < 4; i++) opened.push(await addon.open(driver, 0, BYTES));
  for (const [name, call] of Object.entries(calls)) {
    const seen = new Set();
    endings[name] = { refused: 0, seen };
    for (const onwards of [false, true]) {
      for (let nth = 1; ; nth++) {
        host.failAllocation(nth, onwards);
        const how = await ending(call);
        const refused = host.refusals();
        host.failAllocation(0, false);
        seen.add(how);
        if (how === 'hangs') return { hangs: `${name}, request ${nth}` };
        if (refused === 0) break;
        endings[name].refused += 1;
      }
    }
    endings[name].seen = [...seen].sort();
  }
  await dropHandles(device);
  for (const each of opened) await addon.close(each);
  await addon.close(device);
  return { endings, left: emulator.liveAllocations().total, unwiped: emulator.freedUnwiped() };
}

/** Handles that the garbage collector finds while there is no memory to give back what they stand for. */
async function dropHandles(device) {
  for (let i = 0; i < 20; i++) await addon.allocate(device, BYTES, true);
  for (let i = 0; i < 5; i++) await addon.loadModule(device, PTX);
  host.failAllocation(1, true);
  globalThis.gc();
  await new Promise((resolve) => setTimeout(resolve, 100));
  if (host.refusals() === 0) throw new Error('the collector found no handle');
  host.failAllocation(0, false);
}

const document = scenario === 'threads' ? await threads() : await allocations();
stdout.write(`${JSON.stringify(document)}\n`);
