# skms_doctest(NAME LABEL label SOURCES … LINKS …): one doctest program, run by ctest with a JUnit report beside it.
find_package(doctest REQUIRED)
set(SKMS_REPORTS ${CMAKE_BINARY_DIR}/reports CACHE INTERNAL "where the JUnit reports go")
file(MAKE_DIRECTORY ${SKMS_REPORTS})

function(skms_doctest name)
  cmake_parse_arguments(arg "" "LABEL" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${arg_SOURCES} ${PROJECT_SOURCE_DIR}/tests/doctest_main.cpp)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE skms::warnings doctest::doctest ${arg_LINKS})
  add_test(NAME ${arg_LABEL}.${name}
    COMMAND ${name} --reporters=junit --out=${SKMS_REPORTS}/${arg_LABEL}.${name}.xml)
  set_tests_properties(${arg_LABEL}.${name} PROPERTIES LABELS ${arg_LABEL})
endfunction()
