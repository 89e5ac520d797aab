# Warnings are errors, and what is shipped is hardened. Targets opt in by linking lanyard_flags (lanyard_room and
# lanyard_executable do so); generated protobuf code does not.
add_library(lanyard_flags INTERFACE)
target_include_directories(lanyard_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(lanyard_flags INTERFACE
  -Wall -Wextra -Wpedantic -Werror -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wcast-align -Wformat=2 -Wimplicit-fallthrough
  -Wno-missing-field-initializers  # members left out of a designated initializer have their defaults
  -fno-omit-frame-pointer)

# GCC 12 sees an uninitialized string wherever it inlines the move out of a StatusOr<std::string>.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(lanyard_flags INTERFACE -Wno-maybe-uninitialized)
endif()

# Lines for a stack trace are enough where nobody steps through the code; variables cost a tenth of the build.
string(REPLACE "-g" "-g1" CMAKE_CXX_FLAGS_RELWITHDEBINFO "${CMAKE_CXX_FLAGS_RELWITHDEBINFO}")
if(LANYARD_SANITIZE)
  string(REPLACE "-g" "-g1" CMAKE_CXX_FLAGS_DEBUG "${CMAKE_CXX_FLAGS_DEBUG}")
endif()

if(LANYARD_SANITIZE)
  add_compile_options(-fsanitize=${LANYARD_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${LANYARD_SANITIZE})
  if(LANYARD_SANITIZE MATCHES "thread")
    # Protobuf's headers give maps two members more where they see this macro, which Debian's library does not have: filling one
    # of its maps then ends in a crash. The standard library keeps what it does for ThreadSanitizer.
    add_compile_options(-U__SANITIZE_THREAD__ -D_GLIBCXX_TSAN=1)
  endif()
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  add_compile_options(-D_FORTIFY_SOURCE=2)
endif()
add_compile_options(-fstack-protector-strong -fstack-clash-protection)
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  add_compile_options(-fcf-protection=full)
elseif(CMAKE_SYSTEM_PROCESSOR STREQUAL "aarch64")
  add_compile_options(-mbranch-protection=standard)
endif()
add_link_options(-Wl,-z,relro,-z,now,-z,noexecstack)
if(LANYARD_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(LANYARD_COVERAGE)
  add_compile_options(--coverage)
  add_link_options(--coverage)
endif()
