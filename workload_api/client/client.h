// The whole library: X.509 and JWT sources, TLS contexts, authorizers. What each does is said in its own header.
// Programs of others include this as <lanyard/client.h>, by docs/CLIENTS.md.
//
// The macros that the headers bring with them end here, so that a program may have its own of the same names.
#pragma once

#pragma push_macro("ASSIGN_OR_RETURN")
#pragma push_macro("IGNORE_ERROR")
#pragma push_macro("RETURN_IF_ERROR")
#undef ASSIGN_OR_RETURN
#undef IGNORE_ERROR
#undef RETURN_IF_ERROR

#include "workload_api/client/authorizer.h"
#include "workload_api/client/jwt_source.h"
#include "workload_api/client/tls.h"
#include "workload_api/client/workload_client.h"
#include "workload_api/client/x509_source.h"

#pragma pop_macro("RETURN_IF_ERROR")
#pragma pop_macro("IGNORE_ERROR")
#pragma pop_macro("ASSIGN_OR_RETURN")
