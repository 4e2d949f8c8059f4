# skms_doctest(NAME LABEL label SOURCES … LINKS …): one doctest program, run by ctest as label.NAME.
# skms_doctest_program(NAME SOURCES … LINKS …): the program alone, for tests that start it in their own way.
find_package(doctest REQUIRED)

function(skms_doctest_program name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINKS" ${ARGN})
  if(NOT TARGET skms_doctest_main)
    add_library(skms_doctest_main OBJECT ${PROJECT_SOURCE_DIR}/tests/doctest_main.cpp)
    target_link_libraries(skms_doctest_main PRIVATE skms::warnings doctest::doctest)
  endif()
  add_executable(${name} ${arg_SOURCES} $<TARGET_OBJECTS:skms_doctest_main>)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE skms::warnings doctest::doctest ${arg_LINKS})
  # What is tested is optimised as it ships; the cases themselves need to compile quickly, not to run so.
  target_compile_options(${name} PRIVATE -O0 -U_FORTIFY_SOURCE)
  target_compile_definitions(${name} PRIVATE DOCTEST_CONFIG_SUPER_FAST_ASSERTS)
endfunction()

function(skms_doctest name)
  cmake_parse_arguments(arg "" "LABEL" "SOURCES;LINKS" ${ARGN})
  skms_doctest_program(${name} SOURCES ${arg_SOURCES} LINKS ${arg_LINKS})
  # tests/run.sh adds up the summary lines.
  add_test(NAME ${arg_LABEL}.${name} COMMAND ${name} --no-colors)
  set_tests_properties(${arg_LABEL}.${name} PROPERTIES LABELS ${arg_LABEL} TIMEOUT 900)
endfunction()
