#include "node_agent/audit/audit_key.h"

#include "tests/support/openssl_cli.h"
#include "tests/unit/audit/audit_fixture.h"

namespace lanyard::testing {
namespace {

class AuditKeyTest : public AuditTest {
 protected:
  mode_t ModeOf(const std::string& path) {
    struct stat info {};
    EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
    return info.st_mode & 07777;
  }
  // Opening fails, names the file, and does not touch it.
  void ExpectRefused(const std::string& path, const std::string& why) {
    const std::string before = Slurp(path);
    const Status opened = TryOpen();
    EXPECT_FALSE(opened.ok());
    EXPECT_THAT(Words(opened), AllOf(HasSubstr(path), HasSubstr(why)));
    EXPECT_EQ(Slurp(path), before);
  }

  std::string pub = dir.Path("audit/audit.pub");
};

TEST_F(AuditKeyTest, IsMadeOnceWithItsPublicHalfAndFilesNobodyElseCanRead) {
  Open();
  EXPECT_EQ(ModeOf(dir.Path("audit")), 0700u);
  EXPECT_EQ(ModeOf(options.path), 0600u);
  EXPECT_EQ(ModeOf(options.key_path), 0600u);
  EXPECT_EQ(ModeOf(pub), 0644u);
  const std::string key = Slurp(options.key_path);
  std::filesystem::remove(pub);
  Open();
  EXPECT_EQ(Slurp(options.key_path), key);
  EXPECT_THAT(Slurp(pub), HasSubstr("BEGIN PUBLIC KEY"));
}

TEST_F(AuditKeyTest, ADamagedOrForeignKeyIsAnErrorAndNeverReplaced) {
  const OpensslCli cli;
  dir.MakeDir("audit", 0700);
  dir.Write("audit/audit.key", "junk", 0600);
  ExpectRefused(options.key_path, "from a backup, or move it");
  cli.MakeKey("rsa", "RSA -pkeyopt rsa_keygen_bits:2048");
  dir.Write("audit/audit.key", cli.Read("rsa.key"), 0600);
  ExpectRefused(options.key_path, "rsa-2048, an audit key is ec-p256");
  cli.MakeKey("ec");
  dir.Write("audit/audit.key", cli.Read("ec.key"), 0644);
  ExpectRefused(options.key_path, "chmod go=");
  dir.Write("audit/audit.key", cli.Read("ec.key"), 0600);
  EXPECT_TRUE(TryOpen().ok());
  cli.MakeKey("other");
  cli.Run("pkey -in other.key -pubout -out other.pub");
  dir.Write("audit/audit.pub", cli.Read("other.pub"), 0644);
  ExpectRefused(pub, "not the public half");
}

TEST_F(AuditKeyTest, AKeyThatIsLostIsNotReplacedWhileItsPublicHalfIsThere) {
  Open();
  Close();
  std::filesystem::remove(options.key_path);
  ExpectRefused(options.key_path + " is missing", "restore the key from a backup");
  EXPECT_FALSE(std::filesystem::exists(options.key_path));
  std::filesystem::rename(pub, dir.Path("old.pub"));
  EXPECT_TRUE(TryOpen().ok());
}

TEST_F(AuditKeyTest, AnotherKeyThanThatOfTheCheckpointsIsTold) {
  Open();
  WriteMany(2);
  ASSERT_TRUE(Seal().ok());
  Close();
  std::filesystem::remove(options.key_path);
  std::filesystem::remove(pub);
  Open();
  EXPECT_EQ(log->health().level, HealthLevel::kDegraded);
  EXPECT_THAT(log->health().text, HasSubstr("the audit key is another one"));
  EXPECT_THAT(Lines().back(), HasSubstr("the audit key is another one"));
}

TEST_F(AuditKeyTest, ThePublicKeyLiesBesideThePrivateOne) {
  EXPECT_EQ(AuditPublicKeyPath("/a/audit.key"), "/a/audit.pub");
  EXPECT_EQ(AuditPublicKeyPath("/a.b/audit"), "/a.b/audit.pub");
  EXPECT_EQ(AuditPublicKeyPath("audit.key"), "audit.pub");
  EXPECT_EQ(AuditPublicKeyPath("/a/.hidden"), "/a/.hidden.pub");
}

TEST_F(AuditKeyTest, OthersMayNotWriteToTheLogOrItsDirectory) {
  Open();
  Close();
  ASSERT_EQ(chmod(options.path.c_str(), 0620), 0);
  ExpectRefused(options.path, "chmod go-w");
  ASSERT_EQ(chmod(options.path.c_str(), 0640), 0);
  EXPECT_TRUE(TryOpen().ok()) << "reading is the operator's choice";
  Close();
  ASSERT_EQ(chmod(dir.Path("audit").c_str(), 0777), 0);
  const Status opened = TryOpen();
  EXPECT_THAT(Words(opened), HasSubstr("chmod go-w " + dir.Path("audit")));
  ASSERT_EQ(chmod(dir.Path("audit").c_str(), 0700), 0);
}

}  // namespace
}  // namespace lanyard::testing
