#!/usr/bin/env bash
# cmake --install: bash completes commands, options and files, and the module file puts the programs on the path.
. "$(dirname "$0")/../mpi/lib.sh"
prefix="$work/a prefix"
cmake --install "$BIN" --prefix "$prefix" >"$work/log" 2>&1 || fail "install: $(tail -n 3 "$work/log")"
completions="$prefix/share/bash-completion/completions"

# complete PROGRAM WORD...: what bash offers for the last word
complete_words() (
  # shellcheck source=/dev/null
  . "$completions/$1"
  COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
  "_${1//-/_}"
  echo "${COMPREPLY[*]}"
)
cd "$work" && touch a-job.json || exit 1
same "commands" "$(complete_words scope-grid mer)" "merge"
same "options of a command" "$(complete_words scope-grid run my.json --se)" "--set --segment-seconds"
same "options of another command" "$(complete_words scope-grid check --m)" "--model"
same "options of no command" "$(complete_words scope-grid --v)" "--version"
same "files" "$(complete_words scope-grid run a-)" "a-job.json"
same "files of scope-frontier" "$(complete_words scope-frontier a-)" "a-job.json"
same "options of scope-frontier" "$(complete_words scope-frontier a-job.json --boot)" "--bootstrap"
# every command and option of --help is there
for c in $("$BIN/scope-grid" --help | sed -nE 's/^  ([a-z]+)  .*/\1/p'); do
  for o in $("$BIN/scope-grid" "$c" --help | sed -nE 's/^  (--[a-z-]+).*/\1/p'); do
    case " $(complete_words scope-grid "$c" "$o") " in *" $o "*) ;; *) fail "scope-grid $c $o is not completed" ;; esac
  done
done

module=$(echo "$prefix"/share/scope-grid/modulefiles/scope-grid/*)
modulecmd=$(command -v modulecmd || ls /usr/lib/x86_64-linux-gnu/modulecmd.tcl 2>/dev/null)
if [ -n "$modulecmd" ]; then # Environment Modules
  case $modulecmd in *.tcl) modulecmd="tclsh $modulecmd" ;; esac
  found=$(eval "$(MODULEPATH="$prefix/share/scope-grid/modulefiles" $modulecmd bash load scope-grid 2>&1)"; echo "$SCOPE_GRID_ROOT $(command -v scope-grid)")
elif command -v tclsh >/dev/null; then # a module file is Tcl: with the commands it uses
  found=$(tclsh - "$module" <<'TCL'
proc module-whatis args {}
proc conflict args {}
proc prepend-path {name value} { if {$name eq "PATH"} { set ::path $value } }
proc setenv {name value} { set ::$name $value }
source [lindex $argv 1]
puts "$SCOPE_GRID_ROOT $path/scope-grid"
TCL
  )
else
  echo "not run: the module file needs modulecmd or tclsh"
  found="$prefix $prefix/bin/scope-grid"
fi
same "what the module file sets" "$found" "$prefix $prefix/bin/scope-grid"
same "the module file's first line" "$(head -n 1 "$module")" "#%Module1.0"
[ -e "$prefix/share/scope-grid/slurm/spack" ] && fail "the Spack recipe was installed; it builds the tree that it lies in"
finish
