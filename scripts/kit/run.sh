#!/usr/bin/env bash
# Runs the vram-residency hardware kit: see --help. Checks the kit's files, unpacks them, and starts the runner with the Node that is inside.
set -u
umask 077
# Options for the caller's own Node do not apply to this one.
unset NODE_OPTIONS NODE_PATH NODE_EXTRA_CA_CERTS

fail() { # exit code, message
  printf 'kit: %s\n' "$2" >&2
  exit "$1"
}

archive=vram-residency-kit.tar.gz
for tool in dirname uname tar gzip sha256sum mktemp rm; do
  command -v "$tool" >/dev/null || fail 2 "$tool is missing on this machine"
done
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd) || fail 2 "the kit's folder cannot be read"
manifest=$here/MANIFEST
[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || fail 3 'the kit is for Linux on x86-64'
[ -r "$manifest" ] || fail 2 'MANIFEST is missing: copy the whole folder'
[ -r "$here/$archive" ] || fail 2 "$archive is missing: copy the whole folder"

# MANIFEST has a line for every file, as sha256sum prints it: first those beside it, then those in the archive.
check() { # folder, lines: names the first file that has changed
  local wrong
  wrong=$(cd -- "$1" && sha256sum --check --quiet 2>&1 <<<"$2") && return 0
  wrong=${wrong%%$'\n'*}
  fail 2 "the kit was changed or cut off: ${wrong%%: *}"
}
outside='' inside=''
while IFS= read -r line; do
  case ${line#*  } in
  run.sh | "$archive") outside+=$line$'\n' ;;
  *) inside+=$line$'\n' ;;
  esac
done <"$manifest"
case $outside in
*"  run.sh"*"  $archive"* | *"  $archive"*"  run.sh"*) ;;
*) fail 2 'the kit was changed or cut off: MANIFEST' ;;
esac
check "$here" "${outside%$'\n'}"

work=$(mktemp -d "${TMPDIR:-/tmp}/vram-kit-XXXXXX") || fail 2 "no temporary folder can be made: set TMPDIR to a folder that can be written"
trap 'rm -rf -- "$work"' EXIT
tar -xzf "$here/$archive" -C "$work" 2>/dev/null || fail 2 "$archive could not be unpacked: 200 MB must be free in ${TMPDIR:-/tmp} (or set TMPDIR)"
check "$work" "${inside%$'\n'}"

node=$work/node/bin/node
if ! version=$("$node" --version 2>&1); then
  case $version in
  *GLIBC_* | *GLIBCXX_*) fail 3 "this machine's C library is too old: the kit needs glibc 2.28 and libstdc++ of GCC 8 or newer (${version%%$'\n'*})" ;;
  *"shared librar"*) fail 3 "a library is missing: ${version##*: error while loading }" ;;
  *ermission*) fail 2 "programs may not be run from ${TMPDIR:-/tmp}: set TMPDIR to another folder" ;;
  *) fail 3 "the kit's Node does not start here: ${version%%$'\n'*}" ;;
  esac
fi

# The runner gets the signals of the terminal itself; those that come to this shell alone are passed on.
mkdir -- "$work/tmp"
VRAM_KIT_WORK=$work/tmp "$node" "$work/kit/main.mjs" "$@" &
runner=$!
for signal in HUP INT TERM; do trap 'kill -s '"$signal"' "$runner" 2>/dev/null' "$signal"; done
wait "$runner"
code=$?
# A signal ends the wait, not the runner: wait for what it still has to report.
while kill -0 "$runner" 2>/dev/null; do
  wait "$runner"
  code=$?
done
exit "$code"
