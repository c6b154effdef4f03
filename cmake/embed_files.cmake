# autoglm_embed_files(target output FILES ...): whole files as bytes in a generated C++ source, made again when one of
# them changes. FUNCTION is what the source defines, HEADER declares it: std::span<const EmbeddedFile> FUNCTION().
if(NOT CMAKE_SCRIPT_MODE_FILE)
  set(AUTOGLM_EMBED_SCRIPT ${CMAKE_CURRENT_LIST_FILE})
  function(autoglm_embed_files target output)
    cmake_parse_arguments(ARG "" "FUNCTION;HEADER" "FILES" ${ARGN})
    set(source ${CMAKE_CURRENT_BINARY_DIR}/generated/${output})
    add_custom_command(
      OUTPUT ${source}
      COMMAND ${CMAKE_COMMAND} -D "FILES=${ARG_FILES}" -D OUTPUT=${source} -D FUNCTION=${ARG_FUNCTION} -D
              HEADER=${ARG_HEADER} -P ${AUTOGLM_EMBED_SCRIPT}
      DEPENDS ${ARG_FILES} ${AUTOGLM_EMBED_SCRIPT}
      VERBATIM)
    target_sources(${target} PRIVATE ${source})
  endfunction()
  return()
endif()

# As a script: FILES, OUTPUT, FUNCTION (what the source defines), HEADER (which declares it).
set(arrays "")
set(rows "")
set(number 0)
foreach(file ${FILES})
  get_filename_component(name ${file} NAME)
  file(READ ${file} hex HEX)
  file(SHA256 ${file} hash)
  string(LENGTH "${hex}" length)
  math(EXPR length "${length} / 2")
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
  string(APPEND arrays "constexpr unsigned char kFile${number}[] = {${bytes}0};\n")
  string(APPEND rows "      {\"${name}\", {reinterpret_cast<const char*>(kFile${number}), ${length}}, \"${hash}\"},\n")
  math(EXPR number "${number} + 1")
endforeach()
file(WRITE ${OUTPUT}
     "// Made by cmake/embed_files.cmake.\n#include \"${HEADER}\"\n\nnamespace autoglm {\nnamespace {\n${arrays}}  // namespace\n
std::span<const EmbeddedFile> ${FUNCTION}() {\n  static const EmbeddedFile kFiles[] = {\n${rows}  };\n  return kFiles;\n}\n}  // namespace autoglm\n")
