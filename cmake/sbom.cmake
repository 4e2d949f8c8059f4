# skms.spdx.json beside the programs it tells of. Headers whose code is compiled into them, with no library behind
# (tests/house/test_sbom.py compares with what the compiler read).
set(sbom_headers)
foreach(header boost/version.hpp httplib.h nlohmann/json.hpp p11-kit/pkcs11.h spdlog/spdlog.h)
  string(MAKE_C_IDENTIFIER "SKMS_SBOM_${header}" variable)
  find_file(${variable} ${header} PATH_SUFFIXES p11-kit-1 REQUIRED)
  mark_as_advanced(${variable})
  list(APPEND sbom_headers --header ${${variable}})
endforeach()
find_program(SKMS_PYTHON NAMES python3 PATHS /usr/bin NO_DEFAULT_PATH REQUIRED)

# Each file that it lists with its digest, also those that no program is linked anew for.
set(sbom_files ${PROJECT_SOURCE_DIR}/CMakeLists.txt ${PROJECT_SOURCE_DIR}/LICENSE)
foreach(folder api appliance base client cmake hsm keystore provisioning systemd)
  file(GLOB_RECURSE files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*)
  list(FILTER files EXCLUDE REGEX __pycache__)
  list(APPEND sbom_files ${files})
endforeach()

set(sbom ${PROJECT_BINARY_DIR}/skms.spdx.json)
add_custom_command(OUTPUT ${sbom}
  COMMAND ${SKMS_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/sbom.py --root ${PROJECT_SOURCE_DIR} --version ${PROJECT_VERSION}
    --output ${sbom} ${sbom_headers} $<TARGET_FILE:skmsd> $<TARGET_FILE:skmsctl> $<TARGET_FILE:skmc>
  DEPENDS skmsd skmsctl skmc ${sbom_files}
  COMMENT "Making skms.spdx.json" VERBATIM)
add_custom_target(skms_sbom ALL DEPENDS ${sbom})
install(FILES ${sbom} DESTINATION share/doc/skms)
