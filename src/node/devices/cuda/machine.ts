import { arch, platform, report } from 'node:process';

/** The properties of a machine that decide which addon it can load. */
export interface Machine {
  /** As in process.platform: linux, darwin. */
  readonly platform: string;
  /** As in process.arch: x64, arm64. */
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

/** Excludes the network: otherwise Node looks up the host name of every open socket's peer and waits for the answers. */
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
