import { describe, expect, it } from 'vitest';
import { preAuthEncoding } from '../../../src/crypto/dsse.js';

describe('DSSE pre-authentication encoding', () => {
  it('answers the example of the protocol document', () => {
    const encoded = preAuthEncoding('http://example.com/HelloWorld', new TextEncoder().encode('hello world'));
    expect(new TextDecoder().decode(encoded)).toBe('DSSEv1 29 http://example.com/HelloWorld 11 hello world');
  });

  it('counts bytes, not characters', () => {
    const encoded = preAuthEncoding('é', new TextEncoder().encode('€'));
    expect(new TextDecoder().decode(encoded)).toBe('DSSEv1 2 é 3 €');
  });
});
