// What the state database looks like, and how an older one becomes the newest.
//
// The file says itself whose it is (PRAGMA application_id) and of which version (PRAGMA user_version). Each migration
// takes it one version forward, in one transaction. There is no way back but the backup.
//
// Thread: any; blocks on the disk, for start-up.
#pragma once

#include <cstdint>
#include <string>

#include "node_agent/base/status.h"
#include "node_agent/state/sqlite_db.h"

namespace lanyard {

inline constexpr int64_t kStateApplicationId = 0x4c4e5944;  // "LNYD"

// The version that this program writes.
int64_t NewestSchema();

// FailedPrecondition when the database at `path` is of a newer version than this program knows.
Result<int64_t> SchemaOf(SqliteDb& db, const std::string& path);

// Runs the migrations from `version` on.
Status Migrate(SqliteDb& db, int64_t version);

// A whole copy of the database beside it, <path>.v<version>.backup (0600): complete and on the disk, or not there.
// Replaces one of the same name. Returns its path.
Result<std::string> BackUp(SqliteDb& db, const std::string& path, int64_t version);

}  // namespace lanyard
