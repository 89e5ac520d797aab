# find_package(lanyard): the target lanyard::client, and what its archives are linked with.
include(CMakeFindDependencyMacro)
find_dependency(OpenSSL 3.0)
find_dependency(absl)
find_dependency(fmt)
find_dependency(Protobuf)
find_dependency(gRPC CONFIG)
include(${CMAKE_CURRENT_LIST_DIR}/lanyard-targets.cmake)
