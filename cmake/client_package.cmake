# The C++ client library as other programs have it (docs/CLIENTS.md): archives, headers, a CMake package and a pkg-config
# file, put down by `cmake --install BUILD --component client`. Wherever they lie, they find each other.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

add_library(lanyard::client ALIAS lanyard_workload_client)
set_target_properties(lanyard_workload_client PROPERTIES EXPORT_NAME client)
set_target_properties(lanyard_pki PROPERTIES EXPORT_NAME pki)
set_target_properties(lanyard_workload_proto PROPERTIES EXPORT_NAME workload_proto)
target_compile_features(lanyard_workload_client PUBLIC cxx_std_20)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/lanyard)
set(pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(TARGETS lanyard_workload_client lanyard_pki lanyard_workload_proto EXPORT lanyard COMPONENT client
  INCLUDES DESTINATION include include/lanyard)
install(EXPORT lanyard NAMESPACE lanyard:: FILE lanyard-targets.cmake DESTINATION ${package_dir} COMPONENT client)

install(SCRIPT ${CMAKE_CURRENT_LIST_DIR}/install_headers.cmake COMPONENT client)

write_basic_package_version_file(${PROJECT_BINARY_DIR}/lanyard-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES cmake/lanyard-config.cmake ${PROJECT_BINARY_DIR}/lanyard-config-version.cmake DESTINATION ${package_dir} COMPONENT client)

file(RELATIVE_PATH to_prefix /prefix/${pkgconfig_dir} /prefix)
configure_file(cmake/lanyard-client.pc.in ${PROJECT_BINARY_DIR}/lanyard-client.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/lanyard-client.pc DESTINATION ${pkgconfig_dir} COMPONENT client)
