// Errors are values: Status, Result<T>, and the three macros that pass them on.
//
// The only place that touches absl's strings: Debian builds abseil with a string_view of its own, so everything else
// uses std types. A message says what was attempted, on what, and why it failed: lower case, no full stop, no secrets.
// Each layer adds its own words once, with Annotate(); only the outermost layer logs. Codes mean what they mean in
// gRPC.
//
// Thread: any.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <fmt/format.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace lanyard {

using Status = absl::Status;
template <class T>
using Result = absl::StatusOr<T>;
using StatusCode = absl::StatusCode;

inline Status OkStatus() {
  return Status();
}

// A Status of `code` with a formatted message: Error(StatusCode::kInvalidArgument, "port {} is taken", port).
template <class... Args>
Status Error(StatusCode code, fmt::format_string<Args...> format, Args&&... args) {
  const std::string text = fmt::format(format, std::forward<Args>(args)...);
  return Status(code, absl::string_view(text.data(), text.size()));
}

inline std::string_view Message(const Status& status) {
  return std::string_view(status.message().data(), status.message().size());
}

// The name of the code as gRPC writes it, e.g. "INVALID_ARGUMENT".
inline std::string CodeName(StatusCode code) {
  return absl::StatusCodeToString(code);
}

// Puts "<context>: " before the message; the code stays. OK stays OK.
template <class... Args>
Status Annotate(const Status& status, fmt::format_string<Args...> format, Args&&... args) {
  if (status.ok()) return status;
  return Error(status.code(), "{}: {}", fmt::format(format, std::forward<Args>(args)...), Message(status));
}

// "<what>: <strerror>" with the code that fits errno: ENOENT not found, EACCES and EPERM permission denied, EEXIST
// already exists, ENOSPC and EMFILE resource exhausted, everything else unavailable.
inline Status ErrnoStatus(int error, std::string_view what) {
  StatusCode code = StatusCode::kUnavailable;
  switch (error) {
    case ENOENT:
    case ESRCH:
      code = StatusCode::kNotFound;
      break;
    case EACCES:
    case EPERM:
      code = StatusCode::kPermissionDenied;
      break;
    case EEXIST:
      code = StatusCode::kAlreadyExists;
      break;
    case ENOSPC:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      code = StatusCode::kResourceExhausted;
      break;
    default:
      break;
  }
  return Error(code, "{}: {}", what, std::generic_category().message(error));
}

}  // namespace lanyard

#define LANYARD_CONCAT_INNER(a, b) a##b
#define LANYARD_CONCAT(a, b) LANYARD_CONCAT_INNER(a, b)

// Returns the Status of `expr` from the enclosing function unless it is OK.
#define RETURN_IF_ERROR(expr)                                \
  do {                                                       \
    if (::lanyard::Status status_ = (expr); !status_.ok()) { \
      return status_;                                        \
    }                                                        \
  } while (false)
// NOLINTBEGIN(bugprone-macro-parentheses): a declaration may not stand in parentheses
// ASSIGN_OR_RETURN(auto x, F()): x is F()'s value, or the enclosing function returns F()'s Status.
#define ASSIGN_OR_RETURN(lhs, expr) LANYARD_ASSIGN_OR_RETURN(LANYARD_CONCAT(result_, __LINE__), lhs, expr)
#define LANYARD_ASSIGN_OR_RETURN(result, lhs, expr) \
  auto result = (expr);                             \
  if (!result.ok()) return result.status();         \
  lhs = std::move(result).value()
// NOLINTEND(bugprone-macro-parentheses)
// Discards a Result or Status on purpose; `why` is for the reader.
#define IGNORE_ERROR(expr, why) static_cast<void>(expr)
