// Runs in a separate process: `node probe-child.js INDEX` prints a StoreProbe as JSON.
import { argv, stdout } from 'node:process';
import { nodeCudaBackend } from './backend.js';
import { tryStore } from './probe.js';

stdout.write(`${JSON.stringify(await tryStore(nodeCudaBackend(), Number(argv[2])))}\n`);
