# skms::warnings: the one set of flags; skms_library(): one static library per folder of the house.

add_library(skms_warnings INTERFACE)
add_library(skms::warnings ALIAS skms_warnings)
target_compile_options(skms_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror
  -fstack-protector-strong -fstack-clash-protection -fno-omit-frame-pointer
  $<$<STREQUAL:${CMAKE_SYSTEM_PROCESSOR},x86_64>:-fcf-protection=full>
  # GCC 12 warns wrongly of std::string's operator+ at -O3 (GCC bug 105651).
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
  # Types of an unnamed namespace are taken for those of a header, and another file's names are shadowed.
  $<$<BOOL:${SKMS_UNITY}>:-Wno-shadow>
  $<$<AND:$<CXX_COMPILER_ID:GNU>,$<BOOL:${SKMS_UNITY}>>:-Wno-subobject-linkage>)
target_link_options(skms_warnings INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code)
if(SKMS_SANITIZE)
  target_compile_options(skms_warnings INTERFACE -fsanitize=${SKMS_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(skms_warnings INTERFACE -fsanitize=${SKMS_SANITIZE})
  if(SKMS_SANITIZE MATCHES "undefined")
    # The vptr check needs type information that Debian's SOCI library does not export.
    target_compile_options(skms_warnings INTERFACE -fno-sanitize=vptr)
  endif()
  if(SKMS_FUZZ)
    target_compile_options(skms_warnings INTERFACE -fsanitize=fuzzer-no-link)
  endif()
else()
  target_compile_definitions(skms_warnings INTERFACE
    $<$<CONFIG:Release,RelWithDebInfo>:_FORTIFY_SOURCE=3> _GLIBCXX_ASSERTIONS)
endif()

# skms_library(NAME SOURCES … LINKS … PRIVATE_LINKS …) makes libskms_NAME.a and the alias skms::NAME.
function(skms_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINKS;PRIVATE_LINKS" ${ARGN})
  add_library(skms_${name} STATIC ${arg_SOURCES})
  add_library(skms::${name} ALIAS skms_${name})
  target_include_directories(skms_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<INSTALL_INTERFACE:include/skmc>)
  set_target_properties(skms_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON EXPORT_NAME ${name})
  target_compile_features(skms_${name} PUBLIC cxx_std_20)
  target_link_libraries(skms_${name} PUBLIC ${arg_LINKS} PRIVATE $<BUILD_INTERFACE:skms::warnings> ${arg_PRIVATE_LINKS})
endfunction()

# skms_program(NAME SOURCES … LINKS …)
function(skms_program name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE skms::warnings ${arg_LINKS})
endfunction()

# skms_manual(PROGRAM SECTION MANUAL… COMPLETION…): its man page and completion scripts, printed by the program itself with
# these arguments (a shell's name goes behind the second), so that they cannot drift from what it does; and installed.
function(skms_manual program section)
  cmake_parse_arguments(arg "" "" "MANUAL;COMPLETION" ${ARGN})
  set(page ${CMAKE_BINARY_DIR}/${program}.${section})
  set(made ${page} ${CMAKE_BINARY_DIR}/${program}.bash ${CMAKE_BINARY_DIR}/${program}.zsh)
  add_custom_command(OUTPUT ${made}
    COMMAND ${program} ${arg_MANUAL} > ${page}
    COMMAND ${program} ${arg_COMPLETION} bash > ${CMAKE_BINARY_DIR}/${program}.bash
    COMMAND ${program} ${arg_COMPLETION} zsh > ${CMAKE_BINARY_DIR}/${program}.zsh
    DEPENDS ${program} VERBATIM)
  add_custom_target(${program}_manual ALL DEPENDS ${made})
  install(FILES ${page} DESTINATION share/man/man${section})
  install(FILES ${CMAKE_BINARY_DIR}/${program}.bash DESTINATION share/bash-completion/completions RENAME ${program})
  install(FILES ${CMAKE_BINARY_DIR}/${program}.zsh DESTINATION share/zsh/vendor-completions RENAME _${program})
endfunction()
