#!/usr/bin/env bash
# W1, the work that programs are compared by: Qwen3-0.6B's shape, 4 prompts of 800 tokens, 8 samples of 64 tokens each.
#   w1.sh [--peers DIR] [NAME=COMMAND ...]
# runs it in float32 and in bf16, and after them each COMMAND, which does the same work with another program and prints
# its seconds, without loading, as the last word; all of them RUNS times (3) in turn, so that what else the host does
# meets all alike. --peers adds OpenVINO GenAI, as it comes and in float32, where $PYTHON (python3) has openvino_genai and
# gguf, and llama.cpp where PATH has llama-batched-bench; their model is made in DIR (w1_peer.py). Prints median,
# least and most seconds, each median's ratio to the first COMMAND's (without one: to float32's), the host, its load and
# the date. W1="--cells 1 --new-tokens 8" makes the work smaller.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
bin=${BIN:-$here/build} runs=${RUNS:-3}
work=$(mktemp -d /tmp/sg-w1.XXXXXX)
trap 'rm -rf "$work"' EXIT
read -ra options <<<"${W1:-}"
names=(float32 bf16) commands=('' '')
if [ "${1:-}" = --peers ]; then
  [ $# -ge 2 ] || { echo "w1.sh: --peers: expected a folder" >&2; exit 2; }
  python=${PYTHON:-python3} peer=$here/tests/bench/w1_peer.py folder=$2 found=()
  shift 2
  if "$python" -c 'import gguf, openvino_genai' 2>/dev/null; then
    found+=(openvino openvino-float32)
  fi
  if command -v llama-batched-bench >/dev/null; then
    found+=(llama)
  fi
  if [ ${#found[@]} = 0 ]; then
    echo "w1.sh: neither openvino-genai and gguf for $python nor llama-batched-bench are here" >&2
    exit 1
  fi
  [ -f "$folder/w1.gguf" ] || { mkdir -p "$folder" && "$python" "$peer" model "$folder"; }
  for name in "${found[@]}"; do set -- "$@" "$name='$python' '$peer' $name '$folder'"; done
fi
for peer in "$@"; do
  case $peer in
  ?*=?*) names+=("${peer%%=*}") commands+=("${peer#*=}") ;;
  *) echo "w1.sh: '$peer': expected NAME=COMMAND" >&2; exit 2 ;;
  esac
done
for ((run = 0; run < runs; run++)); do
  for i in "${!names[@]}"; do
    if [ -z "${commands[i]}" ]; then
      "$bin/scope-grid" bench --random qwen3-0.6b --device cpu --compute-type "${names[i]}" "${options[@]}" --json |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["wall_s"])' >"$work/out"
    else
      bash -c "${commands[i]}" >"$work/out" || { echo "w1.sh: ${names[i]} failed: ${commands[i]}" >&2; exit 1; }
    fi
    echo "${names[i]} $(awk 'NF { last = $NF } END { print last }' "$work/out")" | tee -a "$work/times" >&2
  done
done
echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg), $(date -u +%Y-%m-%d)"
python3 - "$work/times" "${names[2]:-float32}" <<'P'
import statistics, sys
times, base = {}, sys.argv[2]
for line in open(sys.argv[1]):
    name, seconds = line.rsplit(" ", 1)
    try:
        times.setdefault(name, []).append(float(seconds))
    except ValueError:
        sys.exit(f"w1.sh: {name} printed {seconds.strip()!r} as its last word; expected seconds")
median = {name: statistics.median(t) for name, t in times.items()}
print(f"{'program':<16}{'median s':>10}{'least':>10}{'most':>10}   / {base}")
for name, t in times.items():
    print(f"{name:<16}{median[name]:>10.2f}{min(t):>10.2f}{max(t):>10.2f}{median[name] / median[base]:>10.2f}")
P
