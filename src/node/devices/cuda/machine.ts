import { arch, platform, report } from 'node:process';

/** What of a machine decides which addon it can load. */
export interface Machine {
  /** In Node's words: linux, darwin. */
  readonly platform: string;
  /** In Node's words: x64, arm64. */
  readonly arch: string;
  /** The version of glibc that Node runs on; null on another C library, which is musl on Linux. */
  readonly glibc: string | null;
}

/** This machine. Takes milliseconds. */
export function thisMachine(): Machine {
  return { platform, arch, glibc: glibcVersion() };
}

function glibcVersion(): string | null {
  const header: unknown = Reflect.get(systemReport(), 'header');
  if (typeof header !== 'object' || header === null || !('glibcVersionRuntime' in header)) return null;
  return typeof header.glibcVersionRuntime === 'string' ? header.glibcVersionRuntime : null;
}

/** Without the network: Node would look up the name of every open socket's peer and wait for the answers. */
function systemReport(): object {
  if (!('excludeNetwork' in report)) return report.getReport();
  const before = report.excludeNetwork;
  report.excludeNetwork = true;
  try {
    return report.getReport();
  } finally {
    report.excludeNetwork = before;
  }
}
