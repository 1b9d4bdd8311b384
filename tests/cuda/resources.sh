#!/usr/bin/env bash
# resources.sh DIR TABLE [--write] - registers, static shared memory, stack and spills of every kernel and
# architecture, as ptxas told them when kernels/cuda was built in DIR, against the committed TABLE. A
# difference fails: look at it, then write the table anew with --write. Also: no kernel may spill, and the PTX
# of the kernels that should use tensor cores, asynchronous copies and 16-byte loads must have them.
set -euo pipefail
dir=$1 table=$2
now=$(mktemp)
trap 'rm -f "$now"' EXIT
for log in "$dir"/*/*.ptxas; do
  awk '
    /Compiling entry function/ { split($0, q, "\x27"); name = q[2]; arch = q[4] }
    /bytes stack frame/ { stack = $1; spills = $5 + $9 }
    /Used [0-9]+ registers/ {
      smem = 0
      for (i = 1; i <= NF; i++) { if ($i == "registers,") regs = $(i - 1); if ($i ~ /^smem/) smem = $(i - 2) }
      print name, arch, regs, smem, stack, spills
    }' "$log"
done | c++filt | sed -E 's/\([^)]*\) sm_/ sm_/; s/^void //; s/\((bool|int)\)//g' | LC_ALL=C sort >"$now"
[ -s "$now" ] || { echo "no ptxas logs under $dir" >&2; exit 1; }
sed -i '1i # kernel, architecture, registers, static shared bytes, stack bytes, spilled bytes (tests/cuda/resources.sh)' "$now"
if [ "${3:-}" = --write ]; then
  cp "$now" "$table"
  exit 0
fi
status=0
diff -u "$table" "$now" || { echo "kernel resources differ from $table; if that is meant: $0 $dir $table --write" >&2; status=1; }
awk '!/^#/ && ($NF != 0 || $(NF - 1) != 0) { print "spills or stack: " $0; bad = 1 } END { exit bad }' "$now" >&2 || status=1
need() { # KERNEL PATTERN...
  local ptx kernel=$1
  shift
  for ptx in "$dir/$kernel/$kernel".compute_*.ptx; do
    [ -e "$ptx" ] || { echo "no PTX of $kernel" >&2; status=1; return; }
    for pattern in "$@"; do
      grep -q -- "$pattern" "$ptx" || { echo "$(basename "$ptx"): no $pattern" >&2; status=1; }
    done
  done
}
for attention in attn_prefill attn_decode; do
  need $attention 'mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32' 'ldmatrix.sync.aligned.m8n8.x4.shared.b16' \
    'ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16' 'cp.async.cg.shared.global'
done
for rowwise in embed gather_rows add_rmsnorm swiglu dequant l2norm attn_decode; do need $rowwise 'ld.global.v4'; done
for stores in embed gather_rows add_rmsnorm swiglu dequant random attn_prefill; do need $stores 'st.global.v4'; done
exit $status
