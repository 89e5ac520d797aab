# lanyard_room(NAME SOURCES … ROOMS … LIBRARIES …): one static library lanyard_NAME of a room.
# ROOMS are the rooms of ours that it may include from, LIBRARIES third-party targets; both are public, since headers name them.
# What stands in $<BUILD_INTERFACE:…> is not for the users of an installed room (cmake/client_package.cmake).
function(lanyard_room name)
  cmake_parse_arguments(ARG "" "" "SOURCES;ROOMS;LIBRARIES" ${ARGN})
  add_library(lanyard_${name} STATIC ${ARG_SOURCES})
  list(TRANSFORM ARG_ROOMS PREPEND lanyard_)
  target_link_libraries(lanyard_${name} PUBLIC ${ARG_ROOMS} ${ARG_LIBRARIES} PRIVATE $<BUILD_INTERFACE:lanyard_flags>)
  target_include_directories(lanyard_${name} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
endfunction()

# lanyard_executable(NAME SOURCES … ROOMS … LIBRARIES …): a program.
function(lanyard_executable name)
  cmake_parse_arguments(ARG "" "" "SOURCES;ROOMS;LIBRARIES" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  list(TRANSFORM ARG_ROOMS PREPEND lanyard_)
  target_link_libraries(${name} PRIVATE ${ARG_ROOMS} ${ARG_LIBRARIES} lanyard_flags)
  if(LANYARD_SANITIZE)
    target_sources(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/support/sanitizer_options.cc)
  endif()
endfunction()

# lanyard_protos(NAME FILES … [SERVICES]): messages (and with SERVICES gRPC stubs) generated from .proto files, as lanyard_NAME.
# Headers are included by their path from the repository root, e.g. "workload_api/proto/workloadapi.pb.h".
function(lanyard_protos name)
  cmake_parse_arguments(ARG "SERVICES" "" "FILES" ${ARGN})
  set(generated)
  foreach(proto ${ARG_FILES})
    get_filename_component(absolute ${proto} ABSOLUTE)
    file(RELATIVE_PATH relative ${PROJECT_SOURCE_DIR} ${absolute})
    string(REGEX REPLACE "\\.proto$" "" stem ${relative})
    set(outputs ${PROJECT_BINARY_DIR}/proto/${stem}.pb.cc ${PROJECT_BINARY_DIR}/proto/${stem}.pb.h)
    set(arguments --proto_path=${PROJECT_SOURCE_DIR} --cpp_out=${PROJECT_BINARY_DIR}/proto)
    if(ARG_SERVICES)
      list(APPEND outputs ${PROJECT_BINARY_DIR}/proto/${stem}.grpc.pb.cc ${PROJECT_BINARY_DIR}/proto/${stem}.grpc.pb.h)
      list(APPEND arguments --grpc_out=${PROJECT_BINARY_DIR}/proto --plugin=protoc-gen-grpc=$<TARGET_FILE:gRPC::grpc_cpp_plugin>)
    endif()
    add_custom_command(OUTPUT ${outputs}
      COMMAND ${CMAKE_COMMAND} -E make_directory ${PROJECT_BINARY_DIR}/proto
      COMMAND protobuf::protoc ${arguments} ${absolute}
      DEPENDS ${absolute} VERBATIM)
    list(APPEND generated ${outputs})
  endforeach()
  add_library(lanyard_${name} STATIC ${generated})
  target_include_directories(lanyard_${name} SYSTEM PUBLIC $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/proto>)
  target_link_libraries(lanyard_${name} PUBLIC protobuf::libprotobuf)
  if(ARG_SERVICES)
    target_link_libraries(lanyard_${name} PUBLIC gRPC::grpc++)
  endif()
endfunction()
