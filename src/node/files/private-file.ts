/** Permissions of group and others. */
const OTHERS = 0o077;

/** Whether a file's mode lets others than its owner in. Windows keeps such rights elsewhere. */
export function isOpenToOthers({ mode }: { readonly mode: number }): boolean {
  return process.platform !== 'win32' && (mode & OTHERS) !== 0;
}
