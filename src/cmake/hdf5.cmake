# SG::hdf5: serial HDF5 with its high-level library, which has the dimension scales. CMake's own search comes first, so
# that -DHDF5_ROOT=DIR and a site's modules count; pkg-config's hdf5-serial where that finds nothing, or only a
# library made for MPI: results are written by one rank, and such a library would have to be initialised by all.
set(HDF5_PREFER_PARALLEL OFF)
find_package(HDF5 QUIET COMPONENTS C HL)
add_library(SG::hdf5 INTERFACE IMPORTED GLOBAL)
if(HDF5_FOUND AND NOT HDF5_IS_PARALLEL)
  set(libraries ${HDF5_C_HL_LIBRARIES} ${HDF5_C_LIBRARIES})
  list(REMOVE_DUPLICATES libraries)
  if(libraries MATCHES "libhdf5[^;]*[.]so") # a shared library brings its own zlib, curl, crypto
    list(FILTER libraries INCLUDE REGEX "hdf5")
  endif()
  set_target_properties(SG::hdf5 PROPERTIES INTERFACE_LINK_LIBRARIES "${libraries}"
    INTERFACE_INCLUDE_DIRECTORIES "${HDF5_C_INCLUDE_DIRS}")
else()
  pkg_check_modules(HDF5_SERIAL REQUIRED hdf5-serial)
  find_library(SG_HDF5_HL NAMES hdf5_serial_hl hdf5_hl HINTS ${HDF5_SERIAL_LIBRARY_DIRS} REQUIRED) # not in the .pc file
  set_target_properties(SG::hdf5 PROPERTIES INTERFACE_LINK_LIBRARIES "${SG_HDF5_HL};${HDF5_SERIAL_LINK_LIBRARIES}"
    INTERFACE_INCLUDE_DIRECTORIES "${HDF5_SERIAL_INCLUDE_DIRS}")
  set(HDF5_VERSION ${HDF5_SERIAL_VERSION})
endif()
