import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { checkSettings } from '../../../src/worker/index.js';

const deploy = fileURLToPath(new URL('../../../examples/deploy/', import.meta.url));
const text = (name: string): string => readFileSync(join(deploy, name), 'utf8');
const inProject = (path: string): string =>
  readFileSync(fileURLToPath(new URL(`../../../${path}`, import.meta.url)), 'utf8');
const operations = inProject('docs/operations.md');

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vram-deploy-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** A program's name with the reason why what needs it does not run. */
function without(program: string): string {
  const found = spawnSync(program, ['--version']);
  return found.status === 0 ? '' : ` (SKIPPED: no ${program})`;
}

describe('the systemd unit', () => {
  const unit = text('systemd/vram-residency.service');
  const noSystemd = without('systemd-analyze');

  it.skipIf(noSystemd !== '')(`is one that systemd understands, exposed below 3 of 10${noSystemd}`, () => {
    const file = join(folder, 'vram-residency.service');
    // The program is not installed here.
    writeFileSync(file, unit.replace('/usr/bin/vram-residency', '/bin/true'));
    const verified = spawnSync('systemd-analyze', ['verify', file], { encoding: 'utf8' });
    expect(verified.stderr).toBe('');
    expect(verified.status).toBe(0);
    const secure = ['security', '--offline=true', '--threshold=29', file];
    expect(spawnSync('systemd-analyze', secure).status).toBe(0);
  });

  it('starts the worker with settings that it takes, and hands it secrets as credentials', () => {
    const settings: unknown = JSON.parse(text('systemd/worker.json'));
    const { audit, socket } = checkSettings({
      ...Object(settings),
      tokenFile: '/run/credentials/x/worker-token',
    });
    expect(unit).toContain(`StateDirectory=${audit?.split('/')[3]}`);
    expect(unit).toContain(`RuntimeDirectory=${socket?.split('/')[2]}`);
    for (const [, name] of unit.matchAll(/^LoadCredential=([\w-]+):/gm)) {
      expect(unit).toContain(`\${CREDENTIALS_DIRECTORY}/${name}`);
    }
    expect(unit).toMatch(/^Type=notify$/m);
    expect(unit).toMatch(/^User=vram-residency$/m);
    expect(text('systemd/vram-residency.sysusers')).toMatch(/^u vram-residency /m);
  });
});

describe('the Kubernetes manifest', () => {
  const documents = parseAllDocuments(text('kubernetes/worker.yaml'), { merge: true });

  it('is YAML, of kinds that Kubernetes has', () => {
    expect(documents.flatMap(({ errors }) => errors)).toEqual([]);
    expect(documents.map((document) => document.get('kind'))).toEqual([
      'ConfigMap',
      'StatefulSet',
      'Service',
    ]);
  });

  it('gives the worker settings that it takes, and probes it under a name that it knows', () => {
    const [config, workload] = documents.map((document) => document.toJS());
    const settings = checkSettings(JSON.parse(config.data['worker.json']));
    const { containers, securityContext, volumes, terminationGracePeriodSeconds } =
      workload.spec.template.spec;
    const [container] = containers;
    expect(container.ports[0].containerPort).toBe(settings.listen?.port);
    for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
      const { scheme, httpHeaders } = container[probe].httpGet;
      expect(scheme).toBe('HTTPS');
      expect(httpHeaders).toEqual([{ name: 'Host', value: 'localhost' }]);
    }
    expect(container.readinessProbe.httpGet.path).toBe('/readyz');
    expect(container.lifecycle.preStop.exec.command).toEqual(['sleep', '10']);
    expect(terminationGracePeriodSeconds).toBeGreaterThan(60);
    expect(securityContext).toMatchObject({ runAsNonRoot: true });
    expect(container.securityContext).toMatchObject({ readOnlyRootFilesystem: true });
    const mounted = new Set(container.volumeMounts.map(({ name }: { name: string }) => name));
    for (const { name } of volumes) expect(mounted).toContain(name);
  });
});

describe('the Dockerfile', () => {
  it('runs the worker as a user without rights, and asks it whether it is well', () => {
    const instructions = text('Dockerfile')
      .replace(/\\\n/g, '')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => line.split(' ', 1)[0]);
    const known = ['FROM', 'COPY', 'RUN', 'ENV', 'USER', 'STOPSIGNAL', 'HEALTHCHECK', 'ENTRYPOINT', 'CMD'];
    expect(instructions.filter((name = '') => !known.includes(name))).toEqual([]);
    expect(text('Dockerfile')).toMatch(/^USER 10001:10001$/m);
  });
});

describe('the Prometheus rules', () => {
  const { groups } = parse(text('prometheus/rules.yaml'));
  const noPromtool = without('promtool');

  it('ask for metrics that the worker tells, and name a section of the runbook', () => {
    const code = inProject('src/worker/http/metrics.ts');
    const told = [...code.matchAll(/\bmetric\(\s*'(\w+)'/g)].map(([, name]) => `vram_residency_${name}`);
    for (const { alert, expr, annotations } of groups[0].rules) {
      const [metric = ''] = /^\w+/.exec(expr) ?? [];
      if (metric !== 'up') expect(told, alert).toContain(metric);
      const [, anchor = ''] = annotations.runbook.split('#');
      const headings = [...operations.matchAll(/^## (.*)$/gm)].map(([, heading = '']) =>
        heading.toLowerCase().replaceAll(' ', '-'),
      );
      expect(headings, alert).toContain(anchor);
      expect(operations, alert).toContain(alert);
    }
  });

  it.skipIf(noPromtool !== '')(`fire when they should, and not before${noPromtool}`, () => {
    const tested = spawnSync('promtool', ['test', 'rules', 'rules.test.yaml'], {
      cwd: join(deploy, 'prometheus'),
      encoding: 'utf8',
    });
    expect(tested.stdout + tested.stderr).toContain('SUCCESS');
    expect(tested.status).toBe(0);
  });
});
