/**
 * Pre-authentication encoding of DSSE v1: `DSSEv1 <length of type> <type> <length of body> <body>`, lengths in bytes as decimal ASCII.
 * It keeps a signature over one type of payload from being taken for one over another.
 */
export function preAuthEncoding(payloadType: string, payload: Uint8Array): Uint8Array {
  const encoder = new TextEncoder();
  const type = encoder.encode(payloadType);
  const head = encoder.encode(`DSSEv1 ${type.length} ${payloadType} ${payload.length} `);
  const encoded = new Uint8Array(head.length + payload.length);
  encoded.set(head);
  encoded.set(payload, head.length);
  return encoded;
}
