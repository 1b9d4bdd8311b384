#!/usr/bin/env bash
# Installs what is missing on Debian 12: `jobs/deps.sh build` for the programs, `... plots` for the pictures,
# `... tests` for the test suite, `... slurm` for its tests of the batch scripts. Does nothing, and needs no root, when all is there.
set -euo pipefail

packages=()
for set in "${@:-build}"; do
  case $set in
    build) packages+=(build-essential cmake ninja-build pkg-config openmpi-bin libopenmpi-dev libhdf5-dev
                      libcjson-dev libpcre2-dev libutf8proc-dev libxxhash-dev zlib1g-dev) ;;
    plots) packages+=(python3 python3-matplotlib python3-h5py python3-numpy) ;;
    tests) packages+=(libcmocka-dev clang libclang-rt-dev python3 python3-numpy python3-scipy python3-h5py python3-xarray
                      python3-h5netcdf python3-netcdf4 python3-jsonschema python3-matplotlib python3-selenium chromium
                      chromium-driver mmdebstrap) ;;
    slurm) packages+=(slurm-wlm munge) ;;
    *) echo "deps.sh: unknown set '$set'; expected build, plots, tests or slurm" >&2; exit 2 ;;
  esac
done

missing=()
for p in "${packages[@]}"; do
  dpkg-query -W -f='${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0

echo "installing: ${missing[*]}"
sudo=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "deps.sh: not root and no sudo; install by hand: ${missing[*]}" >&2; exit 1; }
  sudo=(sudo)
fi
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
