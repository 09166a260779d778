export const TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

export const host = { device: 'host', workerId: 'w', policy: 'any' } as const;

/** Where and when, of an opening by the standing test clock. */
export function context(device: object | null) {
  return {
    at: '2026-01-02T03:04:05.678Z',
    monotonicMs: 1000,
    workerId: 'w',
    correlationId: 'c',
    traceparent: TRACE,
    operation: 'open',
    operationId: 'open-1',
    device,
    shardId: null,
    modelRef: null,
    durationMs: null,
  };
}
