import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { EXIT } from '../../../src/cli/exit-codes.js';
import { cli } from '../../support/cli.js';

const FILE = fileURLToPath(new URL('../../../examples/sharing/kubernetes.yaml', import.meta.url));

interface Container {
  readonly name: string;
  readonly command?: readonly string[];
  readonly resources: { readonly claims: readonly { readonly name: string }[] };
  readonly volumeMounts: readonly { readonly name: string }[];
}

it('examples/sharing/kubernetes.yaml gives both containers the one claim, and a command line that there is', async () => {
  const documents = parseAllDocuments(readFileSync(FILE, 'utf8'));
  expect(documents.flatMap(({ errors }) => errors)).toEqual([]);
  const [template, pod] = documents.map((document) => document.toJS());
  expect([template.kind, pod.kind]).toEqual(['ResourceClaimTemplate', 'Pod']);
  const [claim] = pod.spec.resourceClaims;
  expect(claim.resourceClaimTemplateName).toBe(template.metadata.name);
  const containers: readonly Container[] = pod.spec.containers;
  const volumes = pod.spec.volumes.map(({ name }: { readonly name: string }) => name);
  for (const { name, resources, volumeMounts } of containers) {
    expect(resources.claims, name).toEqual([{ name: claim.name }]);
    for (const mount of volumeMounts) expect(volumes, name).toContain(mount.name);
  }
  // In a directory that everybody can write, as an emptyDir is, no socket is trusted.
  expect(pod.spec.initContainers[0].command.at(-1)).toContain('chmod 0700 /share');
  const [program, ...words] = containers[0]?.command ?? [];
  expect(program).toBe('vram-residency');
  // Without a GPU its policy refuses this machine, which shows that everything before was understood.
  const { code } = await cli(words);
  expect(code).toBe(EXIT.policy);
});
