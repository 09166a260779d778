import { parentPort } from 'node:worker_threads';
import { runSegmentJob } from '../../audit/index.js';
import { nodeCrypto } from '../crypto.js';
import { nodeFileSystem, readChunks } from '../files/index.js';
import { type SegmentReply, type SegmentRequest, toPlain } from './segment-message.js';

const port = parentPort;
if (port === null) throw new Error('this module runs in a worker thread');

port.on('message', (request: SegmentRequest) => {
  // A failure travels back as a reply; answering cannot fail otherwise.
  void answer(request).then((reply) => port.postMessage(reply));
});

async function answer({ id, path, job }: SegmentRequest): Promise<SegmentReply> {
  try {
    const result = await runSegmentJob(nodeCrypto, readChunks(nodeFileSystem, path), job);
    return { id, result: toPlain(result) };
  } catch (error) {
    const code =
      error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;
    return { id, failure: { code, message: error instanceof Error ? error.message : 'unknown failure' } };
  }
}
