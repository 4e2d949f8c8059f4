# skms_pytest(LABEL [ENVIRONMENT …]): each test_*.py of this folder is a test of ctest's, so that two run at once; every one
# starts daemons and tokens of its own.
find_program(SKMS_PYTHON NAMES python3 PATHS /usr/bin NO_DEFAULT_PATH REQUIRED)

function(skms_pytest label)
  cmake_parse_arguments(arg "" "" "ENVIRONMENT" ${ARGN})
  file(GLOB files CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} test_*.py)
  foreach(file ${files})
    string(REGEX REPLACE "^test_(.*)\\.py$" "${label}.\\1" name ${file})
    add_test(NAME ${name} COMMAND ${SKMS_PYTHON} -m pytest -q -p no:cacheprovider ${CMAKE_CURRENT_SOURCE_DIR}/${file})
    set_tests_properties(${name} PROPERTIES LABELS ${label} TIMEOUT 3000 COST 100
      ENVIRONMENT "SKMS_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY};${arg_ENVIRONMENT}")
  endforeach()
endfunction()
