import { describe, expect, it } from 'vitest';
import { VramManager } from '../../../../src/manager/index.js';
import { bytesSource } from '../../../../src/source/index.js';
import { presentBackends } from '../../../support/backends.js';
import { check, independently, NONCE, signer } from '../../attest/fixture.js';
import { pattern, platform } from '../fixture.js';

describe.each(await presentBackends())('attestation on $name', ({ target, missing }) => {
  it.skipIf(target === null)(
    `[VP-006] tells class, means of immutability, device and digests${missing === null ? '' : ` (SKIPPED: ${missing})`}`,
    async () => {
      if (target === null) return;
      const device = await target.open();
      const manager = await VramManager.open(
        { device, workerId: 'w', policy: 'any', attestationKey: signer },
        platform(),
      );
      const shard = await manager.seal(bytesSource(pattern(600_001)));
      const text = JSON.stringify(await manager.attest(shard, { nonce: NONCE }));
      const { statement } = await check(text, { maxAgeMs: 60_000, expected: shard.fsverity });
      const { info } = device;
      expect(statement.predicate).toMatchObject({
        residency: shard.residency,
        immutability: shard.immutability,
        emulated: info.execution === 'emulated',
        fsverity: shard.fsverity,
        sha256: shard.sha256,
        device: {
          backend: info.backend,
          name: info.name,
          uuid: info.uuid,
          driver: info.driver,
          ecc: info.ecc,
        },
      });
      expect(JSON.parse(independently(text))).toEqual(statement);
      await manager.close();
      await device.close();
    },
  );
});
