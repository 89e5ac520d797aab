#include "node_agent/state/state_file.h"

#include "node_agent/state/schema.h"
#include "tests/unit/state/store_fixture.h"

namespace lanyard::testing {
namespace {

using ::testing::AllOf;
using StateFileTest = StoreTest;

// Schema 1 as the first version made it, by SQLite's own program.
constexpr std::string_view kSchema1 =
    "PRAGMA journal_mode = WAL; PRAGMA application_id = 1280203076;"
    "CREATE TABLE issued (authority TEXT NOT NULL, serial TEXT NOT NULL, spiffe_id TEXT NOT NULL,"
    "  not_after INTEGER NOT NULL, PRIMARY KEY (authority, serial)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX issued_by_end ON issued (not_after);"
    "PRAGMA user_version = 1;"
    "INSERT INTO issued VALUES ('aa', '01', 'spiffe://example.org/a', 1767229200);"
    "INSERT INTO issued VALUES ('aa', '02', 'spiffe://example.org/b', 1767229200);";

void MakeSchema1(const std::string& path) {
  ASSERT_EQ(Sqlite(path, std::string(kSchema1)), "wal");
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
}

TEST_F(StateFileTest, MakesADatabaseThatSaysWhoseItIs) {
  MakeDatabase();
  EXPECT_EQ(Sqlite(Path(), "PRAGMA application_id; PRAGMA user_version; PRAGMA journal_mode; PRAGMA integrity_check"),
            fmt::format("{}\n{}\nwal\nok", kStateApplicationId, NewestSchema()));
}

TEST_F(StateFileTest, MigratesAnOlderSchemaAndKeepsABackup) {
  MakeSchema1(Path());
  {
    auto agent = NewAgent();
    ASSERT_TRUE(agent->Open().ok());
    EXPECT_FALSE(agent->store->made_anew());
    ASSERT_TRUE(agent->Record(Serial(3)).ok());
    agent->store->SaveAuditHead({1, kHash});
    ASSERT_TRUE(agent->Flush().ok());
  }
  EXPECT_EQ(Sqlite(Path(), "PRAGMA user_version; SELECT count(*) FROM issued; SELECT seq FROM audit_head"), "3\n3\n1");
  EXPECT_EQ(Sqlite(Path("state.db.v1.backup"),
                   "PRAGMA integrity_check; PRAGMA user_version; SELECT serial FROM issued;"
                   "SELECT count(*) FROM sqlite_schema WHERE name = 'audit_head'"),
            "ok\n1\n01\n02\n0");
  EXPECT_EQ(Mode("state.db.v1.backup"), 0600u);
}

TEST_F(StateFileTest, MigratesTheSchemaBeforeRevocations) {
  MakeSchema1(Path());
  // Schema 2 as the version before made it.
  ASSERT_EQ(Sqlite(Path(),
                   "CREATE TABLE audit_head (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), seq INTEGER NOT NULL,"
                   "  hash TEXT NOT NULL) STRICT;"
                   "INSERT INTO audit_head VALUES (1, 5, '" +
                       kHash + "'); PRAGMA user_version = 2"),
            "");
  auto agent = NewAgent();
  ASSERT_TRUE(agent->Open().ok());
  EXPECT_EQ(agent->store->audit_head_at_start(), (AuditHead{5, kHash}));
  EXPECT_TRUE(agent->store->revocations_at_start().revoked.empty());
  EXPECT_TRUE(agent->store->revocations_at_start().crl_numbers.empty());
  ASSERT_TRUE(agent->Revoke(Revoked(1)).ok());
  ASSERT_TRUE(agent->UseNumber("0a0b", 7).ok());
  EXPECT_EQ(Sqlite(Path(), "PRAGMA user_version; SELECT serial FROM revoked; SELECT number FROM crl_number"),
            "3\n0001\n7");
  EXPECT_EQ(Sqlite(Path("state.db.v2.backup"), "PRAGMA user_version; SELECT seq FROM audit_head"), "2\n5");
}

TEST_F(StateFileTest, ARestoredBackupIsMigratedAgain) {
  MakeSchema1(Path());
  { ASSERT_TRUE(NewAgent()->Open().ok()); }
  std::filesystem::rename(Path("state.db.v1.backup"), Path());
  auto agent = NewAgent();
  ASSERT_TRUE(agent->Open().ok());
  EXPECT_EQ(Sqlite(Path(), "PRAGMA user_version; PRAGMA journal_mode; SELECT count(*) FROM issued"), "3\nwal\n2");
}

TEST_F(StateFileTest, AMigrationThatWasKilledIsDoneAtTheNextStart) {
  MakeSchema1(Path());
  temp_.Write("data/state.db.v1.backup.tmp", "half of a ba", 0600);
  { ASSERT_TRUE(NewAgent()->Open().ok()); }
  EXPECT_FALSE(std::filesystem::exists(Path("state.db.v1.backup.tmp")));
  EXPECT_EQ(Sqlite(Path("state.db.v1.backup"), "SELECT count(*) FROM issued"), "2");
}

TEST_F(StateFileTest, MigratesNothingWithoutABackup) {
  MakeSchema1(Path());
  temp_.MakeDir("data/state.db.v1.backup");
  temp_.Write("data/state.db.v1.backup/in_the_way", "");
  const Status opened = NewAgent()->Open();
  EXPECT_THAT(Text(opened), HasSubstr("back up " + Path()));
  EXPECT_EQ(Sqlite(Path(), "PRAGMA user_version"), "1");
}

TEST_F(StateFileTest, AFirstStartThatWasKilledBeginsAgain) {
  temp_.Write("data/state.db.new", "half of a data", 0600);
  temp_.Write("data/state.db.new-wal", "half of a jour", 0600);
  auto agent = NewAgent();
  ASSERT_TRUE(agent->Open().ok());
  EXPECT_TRUE(agent->store->made_anew());
  EXPECT_FALSE(std::filesystem::exists(Path("state.db.new")));
  EXPECT_FALSE(std::filesystem::exists(Path("state.db.new-wal")));
}

TEST_F(StateFileTest, RefusesANewerSchemaAndChangesNothing) {
  MakeDatabase(3);
  Sqlite(Path(), "PRAGMA user_version = 99");
  const std::string before = Bytes();
  const Status opened = NewAgent()->Open();
  EXPECT_EQ(opened.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(Text(opened), AllOf(HasSubstr(Path()), HasSubstr("schema 99"), HasSubstr("knows up to 3")));
  EXPECT_EQ(Bytes(), before);
}

TEST_F(StateFileTest, RefusesTheDatabaseOfAnotherProgramAndChangesNothing) {
  Sqlite(Path(), "CREATE TABLE bookmarks (url TEXT)");
  chmod(Path().c_str(), 0600);
  const std::string before = Bytes();
  const Status opened = NewAgent()->Open();
  EXPECT_EQ(opened.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(Text(opened), HasSubstr("another program"));
  EXPECT_EQ(Bytes(), before);
  EXPECT_FALSE(std::filesystem::exists(Path("state.db-wal")));
}

TEST_F(StateFileTest, RefusesWhatIsNoDatabaseAndChangesNothing) {
  for (const std::string& garbage : {std::string(), std::string("x"), std::string(9000, 'g')}) {
    temp_.Write("data/state.db", garbage, 0600);
    const Status opened = NewAgent()->Open();
    EXPECT_EQ(opened.code(), StatusCode::kDataLoss) << garbage.size();
    EXPECT_THAT(Text(opened), AllOf(HasSubstr(Path()), HasSubstr("damaged"), HasSubstr("backup")));
    EXPECT_EQ(Bytes(), garbage);
  }
}

TEST_F(StateFileTest, FindsATruncatedDatabaseAndChangesNothing) {
  MakeDatabase(2000);
  std::filesystem::resize_file(Path(), std::filesystem::file_size(Path()) / 2 / 4096 * 4096);
  const std::string before = Bytes();
  const Status opened = NewAgent()->Open();
  EXPECT_EQ(opened.code(), StatusCode::kDataLoss) << opened;
  EXPECT_THAT(Text(opened), AllOf(HasSubstr(Path()), HasSubstr("nothing was changed")));
  EXPECT_EQ(Bytes(), before);
}

TEST_F(StateFileTest, FindsFlippedBytesInAnyPageHeaderAndChangesNothing) {
  MakeDatabase(2000);
  const std::string whole = Bytes();
  for (size_t page = 1; page < whole.size() / 4096; page += 5) {
    std::string flipped = whole;
    for (size_t i = 0; i < 12; ++i) flipped[page * 4096 + i] = static_cast<char>(~flipped[page * 4096 + i]);
    temp_.Write("data/state.db", flipped, 0600);
    const Status opened = NewAgent()->Open();
    EXPECT_EQ(opened.code(), StatusCode::kDataLoss) << "page " << page << ": " << opened;
    EXPECT_EQ(Bytes(), flipped) << "page " << page;
  }
}

TEST_F(StateFileTest, RefusesADatabaseThatLacksATable) {
  MakeDatabase();
  Sqlite(Path(), "DROP TABLE audit_head");
  const Status opened = NewAgent()->Open();
  EXPECT_EQ(opened.code(), StatusCode::kDataLoss);
  EXPECT_THAT(Text(opened), HasSubstr("no such table: audit_head"));
}

TEST_F(StateFileTest, RefusesAHeadThatMakesNoSense) {
  MakeDatabase();
  for (const std::string& head : {std::string("5, 'nonsense'"), "5, '" + kHash + "a'", "0, '" + kHash + "'",
                                  "-1, '" + kHash + "'", "5, '" + std::string(64, 'A') + "'"}) {
    Sqlite(Path(), "DELETE FROM audit_head; INSERT INTO audit_head VALUES (1, " + head + ")");
    EXPECT_EQ(NewAgent()->Open().code(), StatusCode::kDataLoss) << head;
  }
}

TEST_F(StateFileTest, RefusesRevocationsThatMakeNoSense) {
  const auto opened_with = [&](const std::string& values) {
    Sqlite(Path(), "DELETE FROM revoked; DELETE FROM crl_number; INSERT INTO " + values);
    return NewAgent()->Open();
  };
  MakeDatabase();
  for (const char* values : {"revoked VALUES ('aa', '0g', 1767229200, 1767229200)", "revoked VALUES ('aa', '', 1, 1)",
                             "revoked VALUES ('aa', '123', 1, 1)", "revoked VALUES ('zz', '12', 1, 1)",
                             "revoked VALUES ('aa', '12', 9000000001, 1)", "revoked VALUES ('aa', '12', 1, -1)",
                             "crl_number VALUES ('aa', -5)"}) {
    EXPECT_EQ(opened_with(values).code(), StatusCode::kDataLoss) << values;
  }
  EXPECT_TRUE(opened_with("revoked VALUES ('aa', '12', 1767229200, 1767225600)").ok());
}

TEST_F(StateFileTest, AJournalWithoutItsDatabaseIsALossAndNotANewBeginning) {
  InAChildThatIsKilled({}, [](Agent& agent) { return agent.Record(Serial(1)).ok(); });
  std::filesystem::remove(Path());
  const std::string journal = Bytes("state.db-wal");
  const Status opened = NewAgent()->Open();
  EXPECT_EQ(opened.code(), StatusCode::kDataLoss);
  EXPECT_THAT(Text(opened), HasSubstr("state.db-wal"));
  EXPECT_EQ(Bytes("state.db-wal"), journal);
  EXPECT_FALSE(std::filesystem::exists(Path()));
}

TEST_F(StateFileTest, ATornEndOfTheJournalCostsNothingThatWasCommittedBefore) {
  InAChildThatIsKilled({}, [](Agent& agent) {
    for (int i = 0; i < 20; ++i) {
      if (!agent.Record(Serial(i)).ok()) return false;
    }
    return true;
  });
  const std::string journal = Bytes("state.db-wal");
  const std::string database = Bytes();
  const auto count_with = [&](const std::string& torn) {
    temp_.Write("data/state.db", database, 0600);
    temp_.Write("data/state.db-wal", torn, 0600);
    std::filesystem::remove(Path("state.db-shm"));
    {
      auto agent = NewAgent();
      EXPECT_TRUE(agent->Open().ok());
    }
    return std::stoi(Sqlite(Path(), "SELECT count(*) FROM issued"));
  };
  EXPECT_EQ(count_with(journal + std::string(6000, '\x5a')), 20);
  EXPECT_EQ(count_with(journal + journal.substr(32, 3000)), 20);
  // Cut inside the last commit: that one is gone (it was never answered in such a file), the others are not.
  EXPECT_EQ(count_with(journal.substr(0, journal.size() - 100)), 19);
}

TEST_F(StateFileTest, RefusesFilesThatOthersCanReadOrChange) {
  MakeDatabase();
  chmod(Path().c_str(), 0644);
  EXPECT_EQ(NewAgent()->Open().code(), StatusCode::kPermissionDenied);
  chmod(Path().c_str(), 0600);
  temp_.Write("data/state.db-wal", "", 0666);
  const Status opened = NewAgent()->Open();
  EXPECT_EQ(opened.code(), StatusCode::kPermissionDenied);
  EXPECT_THAT(Text(opened), HasSubstr("state.db-wal"));
}

TEST_F(StateFileTest, DoesNotFollowALinkInPlaceOfTheDatabase) {
  MakeDatabase();
  std::filesystem::rename(Path(), temp_.Path("elsewhere.db"));
  temp_.Link(temp_.Path("elsewhere.db"), "data/state.db");
  EXPECT_EQ(NewAgent()->Open().code(), StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace lanyard::testing
