# autoglm_embed(target VARIABLE input output): a text file as a C++ constant, so that the binary needs no data folder.
# The text is cut into pieces because compilers limit the length of one literal.
function(autoglm_embed target variable input output)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${input})
  file(READ ${CMAKE_CURRENT_SOURCE_DIR}/${input} text)
  string(LENGTH "${text}" length)
  set(pieces "")
  set(at 0)
  while(at LESS length)
    string(SUBSTRING "${text}" ${at} 8000 piece)
    string(APPEND pieces "    R\"embed(${piece})embed\"\n")
    math(EXPR at "${at} + 8000")
  endwhile()
  set(header ${CMAKE_CURRENT_BINARY_DIR}/generated/${output})
  file(CONFIGURE OUTPUT ${header} @ONLY CONTENT
       "// Made from ${input} when the build was configured.\n#pragma once\n\nnamespace autoglm {\ninline constexpr char ${variable}[] =\n${pieces};\n}  // namespace autoglm\n")
  target_include_directories(${target} PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/generated)
endfunction()
