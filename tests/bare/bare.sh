#!/usr/bin/env bash
# A newcomer's machine: a minimal Debian 12 with git in a folder, nothing else of this machine in it. The committed tree
# is cloned there, the two commands are taken out of its README and run as they stand, the test command with --smoke
# behind it. Between the two the programs are installed to a prefix and the demo's job is run from there with the
# clone out of reach.
#
# Skipped (77) without root, mmdebstrap, the right to make namespaces, or Debian's mirror; with CI=true that fails.
# The folder is BIN/bare. All mounts live in a mount namespace of this script: no end of it leaves one behind.
set -euo pipefail

skip() {
  echo "bare_machine: cannot run: $*"
  [ "${CI:-}" = true ] || exit 77
  echo "bare_machine: CI=true, so that is a failure"
  exit 1
}
if [ -z "${SG_BARE_INSIDE:-}" ]; then
  [ "$(id -u)" -eq 0 ] || skip "needs root"
  command -v mmdebstrap >/dev/null || skip "needs mmdebstrap (jobs/deps.sh tests)"
  git -C "$SRC" rev-parse -q --verify HEAD >/dev/null || skip "$SRC is no git repository with a commit"
  unshare --mount --pid --fork true 2>/dev/null || skip "this machine forbids mount and process namespaces"
  exec env SG_BARE_INSIDE=1 unshare --mount --pid --fork --kill-child --mount-proc bash "$0"
fi

work=$BIN/bare root=$BIN/bare/root home=/root/scope-grid
clean_up() {
  umount "$root/proc" "$root/dev/shm" 2>/dev/null || true
  rm -rf --one-file-system "$work"
}
clean_up # of a run that was killed
trap clean_up EXIT
mkdir -p "$work"
began=$SECONDS
phase() { echo "== $* (at $((SECONDS - began)) s)"; }
fail() { echo "bare_machine: $*" >&2; exit 1; }

phase "minimal Debian 12"
# This machine's own mirrors and ways to them; Debian's where it has none for Debian 12.
apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
  grep -E 'debian.* bookworm' | sed 's/^/deb /' >"$work/sources.list" || true
[ -s "$work/sources.list" ] || echo "deb http://deb.debian.org/debian bookworm main" >"$work/sources.list"
apt-config dump | grep -E '^Acquire::(https?::(Proxy|CaInfo|Verify)|Retries|Check-Valid-Until|Check-Date|ForceIPv)' \
  >"$work/apt.conf" || true
# keys of those mirrors, and certificates that apt.conf names
keep=(--customize-hook='cp -n /etc/apt/trusted.gpg.d/* "$1/etc/apt/trusted.gpg.d/"')
while read -r file; do
  keep+=("--customize-hook=mkdir -p \"\$1$(dirname "$file")\" && cp \"$file\" \"\$1$file\"")
done < <(sed -n 's/.*CaInfo "\(.*\)";/\1/p' "$work/apt.conf")
# Neither translations nor fsync: nothing that a program could see.
mmdebstrap --quiet --variant=minbase --include=ca-certificates,git "${keep[@]}" \
  --aptopt="$work/apt.conf" --aptopt='Acquire::Languages "none"' --dpkgopt=force-unsafe-io \
  bookworm "$root" "$work/sources.list" >"$work/debootstrap.log" 2>&1 || {
  tail -n 20 "$work/debootstrap.log"
  grep -qE 'apt-get update|Failed to fetch|Could not (resolve|connect)' "$work/debootstrap.log" &&
    skip "no way to a mirror of Debian"
  fail "mmdebstrap failed"
}
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
mount -t proc -o ro proc "$root/proc" # Open MPI and the run's lock ask it for processes; no /sys, no other device
mkdir -p "$root/dev/shm"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"

phase "clone of $(git -C "$SRC" log -1 --format='%h %s')"
[ -z "$(git -C "$SRC" status --porcelain --untracked-files=no)" ] || echo "   what is not committed is not in it"
printf '[safe]\n\tdirectory = *\n' >"$work/.gitconfig"
HOME=$work git clone -q --depth 1 "file://$SRC" "$root$home"
[ "$(git -C "$root$home" rev-parse HEAD)" = "$(git -C "$SRC" rev-parse HEAD)" ] || fail "the clone has another HEAD"
# The commands: the first indented block below "## Two commands", without the comments behind them.
mapfile -t commands < <(awk '/^## /{here = /^## Two commands/} here && /^    /{block = 1; print}
  block && /^$/{exit}' "$root$home/README.md" | sed 's/^ *//; s/  *#.*//')
[ "${#commands[@]}" = 2 ] || fail "README.md: expected two indented commands below '## Two commands'"

# inside FOLDER COMMAND: a shell of the newcomer
inside() {
  local env=()
  for name in http_proxy https_proxy no_proxy; do [ -z "${!name:-}" ] || env+=("$name=${!name}"); done
  env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin ${env[@]+"${env[@]}"} \
    chroot "$root" bash -c "cd $1 && $2"
}
# all_there FOLDER: what a run and its analysis leave
all_there() {
  local file
  for file in results.h5 frontier.h5 frontier.csv frontier.png frontier.pdf report.html; do
    [ -s "$root$1/$file" ] || fail "$1/$file is missing or empty"
  done
}
digest_of() { grep -oE 'digest [0-9a-f]{32}' "$1" | head -n 1; } # that a run printed

phase "${commands[0]}"
inside $home "${commands[0]}" >"$work/demo.log" 2>&1 || { tail -n 40 "$work/demo.log"; fail "'${commands[0]}' failed"; }
for line in 'Single models' 'Quality of the estimates over 960 cells' 'google/gemma-2-2b-it'; do
  grep -q "$line" "$work/demo.log" || { cat "$work/demo.log"; fail "the demo printed no '$line'"; }
done
all_there $home/runs/demo

phase "cmake --install build --prefix /opt/scope"
inside $home "cmake --install build --prefix /opt/scope" >"$work/install.log" 2>&1 || { cat "$work/install.log"; fail "install"; }
installed=$root/opt/scope
for file in bin/scope-grid bin/scope-frontier share/scope-grid/jobs/job.schema.json \
  share/scope-grid/slurm/scope-grid.sbatch share/man/man1/scope-frontier.1 share/man/man1/scope-grid-run.1; do
  [ -s "$installed/$file" ] || fail "$file was not installed"
done
grep -rnE "$home|[^a-z]build/|/build\b" "$installed/share/scope-grid" --include='*.sbatch' --include='*.sh' &&
  fail "an installed script names a build tree"
as_root='export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 PATH=/opt/scope/bin:$PATH'
# a twelfth of the demo's work is enough to tell programs apart
mkdir "$root/srv/elsewhere"
head -n 12 "$root$home/jobs/demo/queries.jsonl" >"$root/srv/elsewhere/few.jsonl"
few='--set queries=/srv/elsewhere/few.jsonl --set calibration.anchors=8 --set sampling.samples=4'
inside /srv/elsewhere "$home/build/scope-grid run $home/jobs/demo/job.json $few --set output.dir=/srv/elsewhere/built" \
  >"$work/built.log" 2>&1 || { cat "$work/built.log"; fail "the programs in build/ failed"; }
mv "$root$home" "$root$home.away"
inside /srv/elsewhere "$as_root
mpirun -n 2 --oversubscribe scope-grid run /opt/scope/share/scope-grid/jobs/demo/job.json $few --set output.dir=/srv/elsewhere/run &&
scope-grid check run && scope-frontier run/results.h5 && scope-frontier run/results.h5 run/results.h5" >"$work/installed.log" 2>&1 ||
  { cat "$work/installed.log"; fail "the installed programs failed"; }
# where the batch script looks for the programs
inside /opt/scope/share/scope-grid/slurm '[ -x "$(sed -n "s/.*dirname .*)\(.*bin\)$/.\1/p" scope-grid.sbatch)/scope-grid" ]' ||
  fail "the installed batch script does not find scope-grid"
mv "$root$home.away" "$root$home"
all_there /srv/elsewhere/run
[ -n "$(digest_of "$work/demo.log")" ] && [ -n "$(digest_of "$work/built.log")" ] || fail "a run printed no digest"
[ "$(digest_of "$work/installed.log")" = "$(digest_of "$work/built.log")" ] || fail "installed and built programs: other digests"

phase "${commands[1]} --smoke"
inside $home "${commands[1]} --smoke" >"$work/tests.log" 2>&1 || { tail -n 60 "$work/tests.log"; fail "'${commands[1]} --smoke' failed"; }
grep -E 'tests passed|built in' "$work/tests.log"
phase "done"
