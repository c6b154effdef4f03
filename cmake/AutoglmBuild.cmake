# Compiler settings, and the functions that every folder uses to declare itself.

find_program(AUTOGLM_CCACHE ccache)
if(AUTOGLM_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${AUTOGLM_CCACHE})
endif()

add_library(autoglm_flags INTERFACE)
target_include_directories(autoglm_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_options(autoglm_flags INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Werror -fno-math-errno)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(autoglm_flags INTERFACE -Wimplicit-fallthrough)
  target_link_options(autoglm_flags INTERFACE -fuse-ld=lld)
else()
  # GCC 12 warns of overlaps and bounds inside its own std::string operator+ (GCC bugs 105651, 105329, 105762).
  target_compile_options(autoglm_flags INTERFACE -Wno-restrict -Wno-array-bounds -Wno-stringop-overflow)
endif()
if(AUTOGLM_SANITIZE)
  list(JOIN AUTOGLM_SANITIZE "," sanitizers)
  add_compile_options(-fsanitize=${sanitizers} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${sanitizers})
  add_compile_definitions(AUTOGLM_SANITIZED)
endif()
if(AUTOGLM_FUZZ)
  # Coverage feedback in our own code; the fuzz targets alone link libFuzzer's main().
  add_compile_options(-fsanitize=fuzzer-no-link)
  add_link_options(-fsanitize=fuzzer-no-link)
endif()
# The same bits on every machine and compiler: a*b+c is fused only where the source says fma.
add_compile_options(-ffp-contract=off)
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  add_compile_options(-march=x86-64-v2)  # SSE4.2, the floor; faster code lives in kernels' folders for each ISA
endif()

# autoglm_layer(name DEPENDS layers... LIBRARIES targets...): src/NAME as the static library autoglm_NAME.
# Every .cpp below the folder belongs to it, except the folders of single ISAs, which set their own flags.
function(autoglm_layer name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;LIBRARIES;EXCLUDE" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  foreach(pattern ${ARG_EXCLUDE})
    list(FILTER sources EXCLUDE REGEX ${pattern})
  endforeach()
  add_library(autoglm_${name} STATIC ${sources})
  target_link_libraries(autoglm_${name} PUBLIC autoglm_flags ${ARG_LIBRARIES})
  foreach(layer ${ARG_DEPENDS})
    target_link_libraries(autoglm_${name} PUBLIC autoglm_${layer})
  endforeach()
endfunction()

# autoglm_test(layer LIBRARIES ...): tests/LAYER/*.cpp as one GoogleTest program, test_LAYER, known to ctest.
function(autoglm_test layer)
  cmake_parse_arguments(ARG "" "" "LIBRARIES" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${layer}/*.cpp)
  if(NOT sources)
    return()
  endif()
  add_executable(test_${layer} ${sources})
  target_link_libraries(test_${layer} PRIVATE autoglm_${layer} GTest::gmock GTest::gtest_main ${AUTOGLM_RAPIDCHECK}
                                              ${ARG_LIBRARIES})
  target_compile_definitions(test_${layer} PRIVATE AUTOGLM_TEST_DATA="${CMAKE_SOURCE_DIR}/tests/data"
                                                   AUTOGLM_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                                                   AUTOGLM_ORACLE_DIR="${CMAKE_SOURCE_DIR}/build/oracle")
  target_include_directories(test_${layer} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  target_precompile_headers(test_${layer} PRIVATE <gtest/gtest.h> <gmock/gmock.h> <string> <vector>)
  add_test(NAME ${layer} COMMAND test_${layer})
endfunction()
