import { describe, expect, it } from 'vitest';
import { engineEndpoints } from '../../../src/worker/config/endpoints.js';
import { checkSettings } from '../../../src/worker/index.js';

const ENGINE = { model: 'm', weights: 'guarded' };

describe('the engines of the settings', () => {
  it.each([
    [{ url: 'http://127.0.0.1:8000' }, { host: '127.0.0.1', port: 8000 }],
    [{ url: 'http://[::1]:65535' }, { host: '::1', port: 65_535 }],
    // A URL leaves its scheme's own port out.
    [{ url: 'http://127.0.0.1:80' }, { host: '127.0.0.1', port: 80 }],
    [{ url: 'http://[::1]:80' }, { host: '::1', port: 80 }],
    [{ socket: '/run/engine.sock' }, { socket: '/run/engine.sock' }],
  ])('at %j are reached at %j', (place, address) => {
    const settings = checkSettings({
      socket: '/run/worker.sock',
      engines: [{ ...ENGINE, ...place, atOnce: 3 }],
    });
    expect(engineEndpoints(settings)).toEqual([{ model: 'm', weights: 'guarded', atOnce: 3, address }]);
  });

  it('are none where none is named', () => {
    expect(engineEndpoints(checkSettings({ socket: '/run/worker.sock' }))).toEqual([]);
  });
});
