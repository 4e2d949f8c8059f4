# skms_doctest(NAME LABEL label SOURCES … LINKS …): one doctest program, run by ctest as label.NAME.
find_package(doctest REQUIRED)

function(skms_doctest name)
  cmake_parse_arguments(arg "" "LABEL" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${arg_SOURCES} ${PROJECT_SOURCE_DIR}/tests/doctest_main.cpp)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE skms::warnings doctest::doctest ${arg_LINKS})
  # tests/run.sh adds up the summary lines.
  add_test(NAME ${arg_LABEL}.${name} COMMAND ${name} --no-colors)
  set_tests_properties(${arg_LABEL}.${name} PROPERTIES LABELS ${arg_LABEL} TIMEOUT 900)
endfunction()
