# Tests that are not GoogleTest programs: the tree's structure, the real binary, other people's clients.
# lanyard_python_tests(LABEL FILE… [SERIAL] [FIXTURES NAME…]): one ctest test per method of the file's unittest classes, named
# Class.method without "test_". The list is read when CMake configures, and again when a file changes.
find_package(Python3 REQUIRED COMPONENTS Interpreter)

function(lanyard_python_tests label)
  cmake_parse_arguments(ARG "SERIAL" "" "FIXTURES" ${ARGN})
  set(support ${PROJECT_SOURCE_DIR}/tests/support/python)
  foreach(file ${ARG_UNPARSED_ARGUMENTS})
    set(path ${CMAKE_CURRENT_SOURCE_DIR}/${file})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
    execute_process(COMMAND ${Python3_EXECUTABLE} ${support}/run_test.py --list ${path}
      OUTPUT_VARIABLE names OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
    string(REPLACE "\n" ";" names "${names}")
    foreach(name ${names})
      add_test(NAME ${name} COMMAND ${Python3_EXECUTABLE} ${support}/run_test.py ${path} ${name})
      set_tests_properties(${name} PROPERTIES
        LABELS ${label} TIMEOUT 300 SKIP_RETURN_CODE 77
        ENVIRONMENT "LANYARD_BUILD=${PROJECT_BINARY_DIR};LANYARD_SANITIZE=${LANYARD_SANITIZE}")
      if(ARG_SERIAL)
        set_tests_properties(${name} PROPERTIES RUN_SERIAL ON)
      endif()
      if(ARG_FIXTURES)
        set_tests_properties(${name} PROPERTIES FIXTURES_REQUIRED "${ARG_FIXTURES}")
      endif()
    endforeach()
  endforeach()
endfunction()

add_subdirectory(structure)
add_subdirectory(integration)
add_subdirectory(conformance)
add_subdirectory(runtimes)
add_subdirectory(kubernetes)
