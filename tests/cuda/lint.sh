#!/usr/bin/env bash
# lint.sh - the rules for kernel sources that a compiler does not check (kernels/cuda/device.cuh).
set -euo pipefail
cd "$(dirname "$0")/../../kernels/cuda"
bad=0
complain() { echo "kernels/cuda/$1" >&2; bad=1; }
# a file's code, comments blanked, each line with its place
code() {
  sed -E 's:/\*[^*]*\*/::g' "$1" | awk -v f="$1" '/\/\*/ { c = 1 } !c { print f ":" NR ": " $0 } /\*\// { c = 0 }'
}
for f in *.cu tile.cuh tile_f32.cuh; do
  while IFS= read -r hit; do complain "$hit (not in kernel sources: use what device.cuh offers)"; done < <(
    code "$f" | grep -E 'asm|<<<|__shared__|cooperative_groups|__activemask|__nv_bfloat16|cudaStream|#pragma' || true)
  while IFS= read -r hit; do complain "$f: includes $hit"; done < <(
    sed -nE 's/^#include (.*)/\1/p' "$f" |
      grep -vE '"kernels/cuda/(device|tile|tile_f32)\.cuh"|"kernels/cuda/launch\.h"|"base/rng\.h"' || true)
done
for f in *.cu; do
  # the first line says which operator this is; each kernel is static and bounded
  head -n 1 "$f" | grep -q "^/\* ${f%.cu} - " || complain "$f:1: does not begin with '/* ${f%.cu} - '"
  n=$(code "$f" | grep -c '__global__' || true)
  ok=$(sed 's://.*::' "$f" | tr '\n' ' ' | { grep -oE 'static __global__ void[^(]*__launch_bounds__' || true; } | wc -l)
  [ "$n" = "$ok" ] || complain "$f: $n kernels, $ok of them static with __launch_bounds__"
  # one wrapper each, and every launch's code is used
  [ "$(grep -c '^extern "C" int sg__launch_' "$f")" = 1 ] || complain "$f: not exactly one extern \"C\" launcher"
  if code "$f" | grep -E '\bLAUNCH\(' | grep -qvE '(return|=) LAUNCH\('; then complain "$f: a launch whose code is dropped"; fi
done
exit $bad
