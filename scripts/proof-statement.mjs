/** in-toto Statement v1 over the files of a proof bundle: signed by `npm run proof -- --sign KEYFILE`. */
export function bundleStatement(sums, summary) {
  const subject = sums
    .trimEnd()
    .split('\n')
    .map((line) => {
      const match = /^([0-9a-f]{64}) {2}([A-Za-z0-9_.-]+)$/.exec(line);
      if (match === null) throw new Error('SHA256SUMS holds a line that is none');
      return { name: match[2], digest: { sha256: match[1] } };
    });
  const { complete, passed, failed, skipped } = summary;
  return JSON.stringify({
    _type: 'https://in-toto.io/Statement/v1',
    subject,
    predicateType: 'urn:vram-residency:test-run:v1',
    predicate: { complete, passed, failed, skipped },
  });
}
