// The whole library: X.509 and JWT sources, TLS contexts, authorizers. What each does is said in its own header.
#pragma once

#include "workload_api/client/authorizer.h"
#include "workload_api/client/jwt_source.h"
#include "workload_api/client/tls.h"
#include "workload_api/client/workload_client.h"
#include "workload_api/client/x509_source.h"
