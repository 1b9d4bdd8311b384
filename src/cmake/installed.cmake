cmake_minimum_required(VERSION 3.22)
# The part of the installation that looks at what is there (see install.cmake): batch scripts find the programs in
# bin instead of build/, and the programs' --help becomes man pages.
file(GLOB scripts ${share}/slurm/*.sbatch ${share}/jobs/*.sh)
foreach(script ${scripts})
  file(READ ${script} text)
  string(REPLACE "/../build" "/${from_scripts}" text "${text}")
  string(REPLACE "build/ beside this script's folder" "${from_scripts} from this script's folder" text "${text}")
  if(text MATCHES "(^|[^a-z])build/")
    message(FATAL_ERROR "${script} names a build tree; installed.cmake does not know how")
  endif()
  file(WRITE ${script} "${text}")
endforeach()

# man_page(NAME WHAT COMMAND ARG...): NAME.1 from what COMMAND ARG... --help prints
function(man_page name what)
  execute_process(COMMAND ${ARGN} --help OUTPUT_VARIABLE text RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "${ARGN} --help: ${failed}")
  endif()
  string(REPLACE "\\" "\\e" text "${text}")
  string(REPLACE "-" "\\-" text "${text}")
  string(REGEX REPLACE "(^|\n)([.'])" "\\1\\\\&\\2" text "${text}")
  string(REPLACE "-" "\\-" title "${name}")
  string(REPLACE "-" "\\-" what "${what}")
  string(TOUPPER "${title}" upper)
  file(WRITE ${man}/${name}.1 ".TH ${upper} 1 \"\" \"SCOPE Grid ${version}\"\n.SH NAME\n${title} \\- ${what}\n\
.SH DESCRIPTION\n.nf\n${text}.fi\n")
  message(STATUS "Installing: ${man}/${name}.1")
endfunction()

# options_of(VAR COMMAND ARG...): the options that COMMAND ARG... --help lists
function(options_of var)
  execute_process(COMMAND ${ARGN} --help OUTPUT_VARIABLE text RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "${ARGN} --help: ${failed}")
  endif()
  string(REGEX MATCHALL "\n  --[a-z-]+" found "${text}")
  list(TRANSFORM found REPLACE "\n  " "")
  list(JOIN found " " found)
  set(${var} "${found}" PARENT_SCOPE)
endfunction()

# completion(NAME WORDS CASES): what bash completes for NAME: options where a word begins with a dash, WORDS as the first
# word, file names elsewhere. CASES: what a case on the first word does, to set its options.
function(completion name words cases)
  options_of(options ${bin}/${name})
  string(REPLACE "-" "_" function "_${name}")
  if(words)
    set(cases "  case \${COMP_WORDS[1]} in\n${cases}  esac\n")
    set(first "  elif [[ $COMP_CWORD == 1 ]]; then
    mapfile -t COMPREPLY < <(compgen -W '${words}' -- \"$word\")\n")
  endif()
  file(WRITE ${completions}/${name} "# made from ${name} --help
${function}() {
  local word=\${COMP_WORDS[COMP_CWORD]} options='${options}'
${cases}  COMPREPLY=()
  if [[ $word == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$word\")
${first}  else
    mapfile -t COMPREPLY < <(compgen -f -- \"$word\")
  fi
}
complete -o filenames -F ${function} ${name}
")
  message(STATUS "Installing: ${completions}/${name}")
endfunction()

completion(scope-frontier "" "")
man_page(scope-frontier "cost and accuracy of policies over a portfolio of models" ${bin}/scope-frontier)
if("scope-grid" IN_LIST programs)
  man_page(scope-grid "what each model of a portfolio would do on each query" ${bin}/scope-grid)
  execute_process(COMMAND ${bin}/scope-grid --help OUTPUT_VARIABLE text)
  string(REGEX MATCHALL "\n  [a-z]+  +[^\n]+" lines "${text}") # a command and what it does
  foreach(line ${lines})
    string(REGEX MATCH "([a-z]+) +(.+)" line "${line}")
    set(command ${CMAKE_MATCH_1})
    man_page(scope-grid-${command} "${CMAKE_MATCH_2}" ${bin}/scope-grid ${command})
    options_of(options ${bin}/scope-grid ${command})
    string(APPEND cases "    ${command}) options='${options}' ;;\n")
    list(APPEND commands ${command})
  endforeach()
  list(JOIN commands " " commands)
  completion(scope-grid "${commands}" "${cases}")
endif()

# A module file, for Environment Modules and Lmod: module use PREFIX/share/scope-grid/modulefiles. man finds the pages
# beside bin by itself, and an unset MANPATH stays unset.
set(module ${share}/modulefiles/scope-grid/${version})
file(WRITE ${module} "#%Module1.0
module-whatis {SCOPE Grid ${version}: correctness and cost of a portfolio of LLMs, estimated query by query}
conflict scope-grid
prepend-path PATH {${prefix}/${bin_in_prefix}}
setenv SCOPE_GRID_ROOT {${prefix}}
")
message(STATUS "Installing: ${module}")
