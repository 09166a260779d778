import { concatBytes, utf8 } from '../base/index.js';

/**
 * Pre-authentication encoding of DSSE v1: `DSSEv1 <length of type> <type> <length of body> <body>`, lengths in bytes as
 * decimal ASCII. It prevents a signature over one payload type from being accepted for another.
 */
export function preAuthEncoding(payloadType: string, payload: Uint8Array): Uint8Array {
  return concatBytes(utf8(`DSSEv1 ${utf8(payloadType).length} ${payloadType} ${payload.length} `), payload);
}
