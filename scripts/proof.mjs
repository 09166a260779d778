// npm run proof [-- --sign KEYFILE]: builds, runs every quick test and writes .proof_bundle/unit/<UTC stamp>-<commit>/ from
// the results. With a key file (Ed25519, PKCS #8 PEM, made if it does not exist) the bundle's digests are signed as an
// in-toto statement in a DSSE envelope. Fails unless the bundle is complete: every test green, no group below its minimum,
// every requirement covered.
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundleStatement } from './proof-statement.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { sign: { type: 'string' } },
});
const above = process.env.VRAM_RESIDENCY_PROOF_DIRECTORY ?? join(root, '.proof_bundle', 'unit');
const latest = join(above, 'latest');
rmSync(latest, { force: true });

const { status } = spawnSync(process.execPath, ['scripts/test.mjs', '--proof', ...positionals], {
  cwd: root,
  stdio: 'inherit',
});

let folder;
try {
  folder = join(above, readFileSync(latest, 'utf8').trim());
} catch {
  console.error('the tests ended without a proof bundle');
  process.exit(status || 1);
}
const results = readFileSync(join(folder, 'results.ndjson'), 'utf8').trimEnd().split('\n');
const summary = JSON.parse(results.at(-1));

if (values.sign !== undefined) {
  const library = (module) => import(new URL(`../dist/${module}`, import.meta.url).href);
  const { signEnvelope } = await library('attest/envelope.js');
  const { openAttestationKey } = await library('node/keys/attestation-key.js');
  const { nodeCrypto } = await library('node/crypto.js');
  const signer = await openAttestationKey({ workerId: 'proof', keyFile: values.sign });
  const statement = new TextEncoder().encode(
    bundleStatement(readFileSync(join(folder, 'SHA256SUMS'), 'utf8'), summary),
  );
  const envelope = await signEnvelope(nodeCrypto, signer, statement);
  writeFileSync(join(folder, 'SHA256SUMS.dsse.json'), `${JSON.stringify(envelope)}\n`);
}

for (const shortcoming of summary.shortcomings) console.log(`NOT PROVED: ${shortcoming}`);
console.log(
  `proof bundle ${summary.complete ? '(complete)' : '(NOT COMPLETE)'}: ${folder.replace(root, '')}`,
);
console.log(`${summary.passed} passed, ${summary.failed} failed, ${summary.skipped} skipped`);
process.exit(summary.complete && status === 0 ? 0 : 1);
