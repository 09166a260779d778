import { existsSync, readFileSync } from 'node:fs';

/** The system's description of itself; replaced in tests. */
export interface SystemSigns {
  /** Text of /proc/sys/kernel/osrelease; null if it cannot be read. */
  readonly kernelRelease: string | null;
  /** /dev/dxg exists: Windows owns the GPU, which is reached through the Windows driver. */
  readonly dxg: boolean;
}

/** The description of this machine. */
export function systemSigns(): SystemSigns {
  return { kernelRelease: readKernelRelease(), dxg: existsSync('/dev/dxg') };
}

/**
 * Whether the system may page device memory out without the driver's knowledge, as Windows (WDDM) does, which drives
 * the GPU under WSL2. Null if unknown.
 */
export function isPageable(libraryPath: string, signs: SystemSigns): boolean | null {
  if (signs.dxg || libraryPath.startsWith('/usr/lib/wsl/')) return true;
  if (signs.kernelRelease === null) return null;
  return /microsoft/i.test(signs.kernelRelease);
}

function readKernelRelease(): string | null {
  try {
    return readFileSync('/proc/sys/kernel/osrelease', 'utf8');
  } catch {
    return null;
  }
}
