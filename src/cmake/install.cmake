# cmake --install BUILD --prefix DIR:
#   bin                 scope-grid, scope-frontier with its plot script beside it
#   share/scope-grid    jobs/ (schema, examples, templates, scripts) and slurm/, side by side as in the source tree
#   share/man/man1      a page of each program and command, made from its --help
#   share/bash-completion/completions, share/scope-grid/modulefiles
include(GNUInstallDirs)
set(share ${CMAKE_INSTALL_DATADIR}/scope-grid)
set(programs scope-frontier)
if(SG_GRID)
  list(APPEND programs scope-grid)
endif()
install(TARGETS ${programs} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(PROGRAMS ${CMAKE_BINARY_DIR}/scope-frontier-plot.py DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY jobs slurm DESTINATION ${share} USE_SOURCE_PERMISSIONS
  PATTERN demo.sh EXCLUDE PATTERN deps.sh EXCLUDE PATTERN fp8.sh EXCLUDE # for a source tree
  PATTERN spack EXCLUDE PATTERN scope-grid.def EXCLUDE)
file(RELATIVE_PATH from_scripts ${CMAKE_INSTALL_FULL_DATADIR}/scope-grid/slurm ${CMAKE_INSTALL_FULL_BINDIR})
install(CODE "set(share \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${share}\")
set(bin \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}\")
set(man \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_MANDIR}/man1\")
set(completions \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DATADIR}/bash-completion/completions\")
set(prefix \"\${CMAKE_INSTALL_PREFIX}\")
set(bin_in_prefix ${CMAKE_INSTALL_BINDIR})
set(programs ${programs})
set(version ${PROJECT_VERSION})
set(from_scripts ${from_scripts})")
install(SCRIPT ${CMAKE_CURRENT_LIST_DIR}/installed.cmake)
