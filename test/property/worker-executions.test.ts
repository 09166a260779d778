import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { EndData, ExecuteRequest, ExecutionEvent } from '../../src/api-schema/index.js';
import { Executions } from '../../src/worker/executions/index.js';
import { propertyRuns } from '../support/property-runs.js';
import { TestClock } from '../unit/manager/fixture.js';

const END: EndData = { weights: 'sealed', verifiedAgeMs: 0, verified: [], witness: null };

/** What may happen to one of a few executions, in any order. */
type Step =
  | { readonly do: 'submit' | 'start' | 'output' | 'finish' | 'crash' | 'cancel'; readonly which: number }
  | { readonly do: 'damaged' | 'drain' | 'pass' | 'tick' };

const IDS = ['a', 'b', 'c'] as const;
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constantFrom('submit' as const, 'start' as const, 'output' as const, 'finish' as const),
    which: fc.nat(IDS.length - 1),
  }),
  fc.record({ do: fc.constantFrom('crash' as const, 'cancel' as const), which: fc.nat(IDS.length - 1) }),
  fc.record({ do: fc.constantFrom('damaged' as const, 'drain' as const, 'pass' as const, 'tick' as const) }),
);

interface Work {
  started: boolean;
  readonly start: () => void;
  readonly output: () => void;
  readonly finish: () => void;
  readonly crash: () => void;
}

/** Executions whose engine does what the test says. */
function bench() {
  const clock = new TestClock();
  const work = new Map<string, Work>();
  const executions = new Executions({
    clock,
    instance: 'i',
    mostQueued: 2,
    onUnforeseen: () => undefined,
    prepare: () => ({
      atOnce: 1,
      run: (execution) =>
        new Promise((resolve, reject) => {
          work.set(execution.id, {
            started: false,
            start: () => execution.start({ generation: 1, weights: 'sealed', verifiedAgeMs: 0 }),
            output: () => execution.output({ event: null, text: 'x' }, 1),
            finish: () => resolve(END),
            crash: () => reject(new Error('the engine died')),
          });
        }),
    }),
  });
  return { clock, work, executions };
}

const request = (executionId: string): ExecuteRequest => ({
  mode: 'onnx',
  executionId,
  model: 'm',
  inputs: {},
  deadlineMs: 1_000,
});

async function eventsOf(executions: Executions, id: string): Promise<ExecutionEvent[]> {
  const seen: ExecutionEvent[] = [];
  const { events } = executions.get(id);
  for await (const event of events.follow(0, AbortSignal.timeout(5_000))) seen.push(event);
  return seen;
}

const isTerminal = ({ type }: ExecutionEvent): boolean => type === 'end' || type === 'error';

describe('executions, whatever comes in whatever order', () => {
  it('[WO-003] end once, with one terminal event, which is the last and which GET tells', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const { clock, work, executions } = bench();
        const submitted = new Set<string>();
        for (const one of steps) {
          const id = 'which' in one ? (IDS[one.which] ?? 'a') : '';
          switch (one.do) {
            case 'submit':
              executions.submit(request(id));
              submitted.add(id);
              break;
            case 'cancel':
              if (submitted.has(id)) expect(executions.cancel(id).state).toBe('ended');
              break;
            case 'damaged':
              executions.damaged('m');
              break;
            case 'drain':
              executions.endAll({ code: 'STOPPED', detail: 'drained', retriable: false });
              break;
            case 'pass':
              clock.turn(600);
              break;
            case 'tick':
              await new Promise((resolve) => setImmediate(resolve));
              break;
            default:
              work.get(id)?.[one.do]();
          }
        }
        // Whatever still runs is let go, twice.
        clock.turn(2_000);
        for (let round = 0; round < 2 * IDS.length; round++) {
          for (const { finish, crash } of work.values()) {
            finish();
            crash();
          }
          await new Promise((resolve) => setImmediate(resolve));
        }
        await executions.idle();
        expect(executions.counts).toEqual({ queued: 0, running: 0 });
        for (const id of submitted) {
          const events = await eventsOf(executions, id);
          expect(events.filter(isTerminal)).toHaveLength(1);
          expect(events.at(-1)).toEqual(executions.get(id).view().terminal);
          expect(events.map((event) => event.id)).toEqual(events.map((_, index) => index + 1));
          const starts = events.flatMap(({ type }, index) => (type === 'started' ? [index] : []));
          expect(starts.length).toBeLessThanOrEqual(1);
          if (starts.length === 1) expect(starts[0]).toBe(0);
          else expect(events.filter(({ type }) => type === 'output')).toEqual([]);
        }
      }),
      { numRuns: propertyRuns(300) },
    );
  });
});
