import { type IncomingMessage, request } from 'node:http';
import type { EngineExecuteRequest, EngineOutputData } from '../../../api-schema/index.js';
import { invalidInput, type SseEvent, SseReader, VramError } from '../../../base/index.js';
import type { EngineAddress } from './listening.js';

/** Limit of one event's text, UTF-16 units: escaped as JSON it still fits into an event of the worker. */
const MOST_TEXT = 131_072;
/** Limit of an event's name. */
const MOST_NAME = 64;
/** Limit of one whole answer. */
const MOST_ANSWER_BYTES = 64 * 2 ** 20;
/** Limit of a refusal's text. */
const MOST_REFUSAL_CHARACTERS = 16_384;
/** An engine that sends no byte for this long is abandoned. */
const SILENCE_MS = 120_000;

export interface EngineCall {
  readonly address: EngineAddress;
  readonly inputs: EngineExecuteRequest['inputs'];
  /** Closes the connection. */
  readonly signal: AbortSignal;
  readonly onOutput: (output: EngineOutputData) => void;
}

/**
 * Sends a request to an engine and streams its answer. Errors: INVALID_INPUT where it refuses the request,
 * DEVICE_UNAVAILABLE where it cannot be reached, fails, stalls or ends in the middle; the signal's reason.
 */
export async function callEngine(call: EngineCall): Promise<void> {
  const response = await answerOf(call);
  const status = response.statusCode ?? 0;
  if (status < 200 || status > 299) throw await refusal(response, status, call);
  const isStream = /^text\/event-stream\b/i.test(response.headers['content-type'] ?? '');
  const reader = new SseReader({ mostCharacters: MOST_TEXT, tooLong });
  for await (const text of textOf(response, call)) {
    if (isStream) for (const event of reader.push(text)) call.onOutput(outputOf(event));
    else for (const piece of pieces(text)) call.onOutput({ event: null, text: piece });
  }
}

function outputOf({ event, data }: SseEvent): EngineOutputData {
  return { event: event?.slice(0, MOST_NAME) ?? null, text: data };
}

function tooLong(): VramError {
  return new VramError('DEVICE_UNAVAILABLE', `the engine sent an event of more than ${MOST_TEXT} characters`);
}

function answerOf({ address, inputs, signal }: EngineCall): Promise<IncomingMessage> {
  const body = JSON.stringify(inputs.body);
  const where = 'socket' in address ? { socketPath: address.socket } : address;
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        ...where,
        path: inputs.path,
        method: 'POST',
        agent: false,
        timeout: SILENCE_MS,
        signal,
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
      },
      resolve,
    );
    asked.on('timeout', () => asked.destroy(new Error('silence')));
    // Once the answer has begun, its end is reported through the answer.
    asked.on('error', (cause) => reject(failure(cause, signal)));
    asked.end(body);
  });
}

async function* textOf(response: IncomingMessage, { signal }: EngineCall): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let bytes = 0;
  try {
    for await (const chunk of response) {
      const piece: Uint8Array = chunk;
      bytes += piece.length;
      if (bytes > MOST_ANSWER_BYTES) {
        throw new VramError(
          'DEVICE_UNAVAILABLE',
          `the engine answered with more than ${MOST_ANSWER_BYTES} bytes`,
        );
      }
      yield decoder.decode(piece, { stream: true });
    }
  } catch (error) {
    throw failure(error, signal);
  } finally {
    response.destroy();
  }
  yield decoder.decode();
}

function* pieces(text: string): Generator<string> {
  for (let from = 0; from < text.length; from += MOST_TEXT) yield text.slice(from, from + MOST_TEXT);
}

/** The engine's message goes only to the caller of the request; our own error contains only the status. */
async function refusal(response: IncomingMessage, status: number, call: EngineCall): Promise<VramError> {
  let said = '';
  for await (const text of textOf(response, call)) {
    said += text.slice(0, MOST_REFUSAL_CHARACTERS - said.length);
    if (said.length >= MOST_REFUSAL_CHARACTERS) break;
  }
  if (said !== '') call.onOutput({ event: null, text: said });
  if (status >= 400 && status < 500 && status !== 429) {
    return invalidInput('inputs', `was refused by the engine with HTTP status ${status}`);
  }
  return new VramError('DEVICE_UNAVAILABLE', `the engine answered with HTTP status ${status}`);
}

function failure(error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason;
  if (error instanceof VramError) return error;
  const code =
    error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'silence';
  return new VramError('DEVICE_UNAVAILABLE', `the engine's answer broke off: ${code}`, {
    cause: error,
  });
}
