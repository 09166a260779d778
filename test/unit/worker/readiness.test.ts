import { describe, expect, it } from 'vitest';
import type { ModelState, ModelView } from '../../../src/api-schema/index.js';
import type { VramManager } from '../../../src/manager/index.js';
import { type Phase, readinessOf } from '../../../src/worker/service/readiness.js';

/** A manager in this state. Nothing else of it is asked. */
function manager(state: string): VramManager {
  return { status: () => ({ state, device: 'cuda:0' }) } as unknown as VramManager;
}

function model(name: string, state: ModelState): ModelView {
  return { name, state } as unknown as ModelView;
}

interface Given {
  readonly phase?: Phase;
  readonly state?: string;
  readonly configured?: readonly string[];
  readonly models?: readonly ModelView[];
  readonly full?: readonly string[];
}

function readiness({ phase = 'serving', state = 'open', configured = [], models = [], full = [] }: Given) {
  const requests = configured.map((name) => ({ name, path: `/m/${name}` }));
  return readinessOf(phase, manager(state), requests, models, full);
}

describe('whether requests should be sent to a worker', () => {
  it.each<[string, Given, object]>([
    ['nothing is configured or loaded', {}, { state: 'empty', ready: true, reason: null }],
    [
      'a model serves that nobody configured',
      { models: [model('a', 'loading'), model('b', 'damaged')] },
      { state: 'ready', ready: true, reason: null },
    ],
    [
      'models load that nobody configured',
      { models: [model('a', 'loading')] },
      { state: 'empty', ready: true },
    ],
    [
      'every configured model serves',
      { configured: ['a', 'b'], models: [model('b', 'ready'), model('a', 'ready')] },
      { state: 'ready', ready: true, reason: null },
    ],
    [
      'one of them is not there',
      { configured: ['a', 'b'], models: [model('a', 'ready')] },
      { state: 'starting', ready: false, reason: 'the model b is not there' },
    ],
    [
      'one of them is loading',
      { configured: ['a'], models: [model('a', 'loading')] },
      { state: 'starting', ready: false, reason: 'the model a is loading' },
    ],
    [
      'one of them is damaged',
      { configured: ['a'], models: [model('a', 'damaged')] },
      { state: 'ready', ready: false, reason: 'the model a is damaged' },
    ],
    [
      'a queue is full',
      { models: [model('a', 'ready')], full: ['a', 'b'] },
      { state: 'ready', ready: false, reason: 'the queue of the model a is full' },
    ],
    [
      'the device is lost, whatever else',
      { state: 'lost', configured: ['a'], full: ['a'] },
      { state: 'lost', ready: false, reason: 'the device cuda:0 is gone' },
    ],
    [
      'the manager has stopped',
      { state: 'stopped' },
      { state: 'failed', ready: false, reason: 'the manager has stopped; its audit log says why' },
    ],
    [
      'it is drained',
      { phase: 'draining', state: 'lost' },
      { state: 'draining', ready: false, reason: 'the worker is being drained' },
    ],
    [
      'it has stopped',
      { phase: 'stopped', state: 'lost' },
      { state: 'stopped', ready: false, reason: 'the worker has stopped' },
    ],
  ])('%s', (_, given, expected) => {
    expect(readiness(given)).toMatchObject(expected);
  });
});
