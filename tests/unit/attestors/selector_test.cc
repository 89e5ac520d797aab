#include "attestors/selector.h"

#include <gtest/gtest.h>

#include <set>

namespace lanyard {
namespace {

StatusCode CheckCode(std::string_view text) {
  const Result<Selector> selector = Selector::Parse(text);
  return selector.ok() ? CheckSelector(*selector).status().code() : selector.status().code();
}

TEST(SelectorTest, SplitsAtTheFirstColonOnly) {
  const Result<Selector> selector = Selector::Parse("process:cgroup:pids:/a:b");
  ASSERT_TRUE(selector.ok());
  EXPECT_EQ(selector->type, "process");
  EXPECT_EQ(selector->value, "cgroup:pids:/a:b");
  EXPECT_EQ(selector->str(), "process:cgroup:pids:/a:b");
}

TEST(SelectorTest, RefusesTextThatIsNoSelector) {
  for (std::string_view text :
       {"", "unix", ":uid:1", "unix:", "Unix:uid:1", "un ix:uid:1", "unix:path:/a\nb", "unix:user:\x01"}) {
    EXPECT_EQ(Selector::Parse(text).status().code(), StatusCode::kInvalidArgument) << text;
  }
  // Not UTF-8: a stray byte, a character cut off, an overlong one, a surrogate, one above U+10FFFF.
  for (std::string_view bytes : {"\xff", "\xe2\x82", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80"}) {
    EXPECT_FALSE(Selector::Parse(fmt::format("unix:path:/{}", bytes)).ok()) << bytes;
    EXPECT_FALSE(CheckSelector({"unix", fmt::format("path:/{}", bytes)}).ok()) << bytes;
  }
  EXPECT_FALSE(Selector::Parse("unix:path:/" + std::string(5000, 'a')).ok());
}

TEST(SelectorTest, AcceptsEveryKindInItsForm) {
  const std::string hex(64, 'a');
  for (const std::string& text : std::vector<std::string>{"unix:uid:0",
                                                          "unix:uid:4294967294",
                                                          "unix:user:agents",
                                                          "unix:gid:1000",
                                                          "unix:group:a b",
                                                          "unix:supplementary_gid:4",
                                                          "unix:supplementary_group:adm",
                                                          "unix:path:/usr/bin/x:y",
                                                          "unix:path:/",
                                                          "unix:path:/\u00fc\u20ac\U0001f600",
                                                          "unix:sha256:" + hex,
                                                          "process:cgroup:/",
                                                          "process:cgroup:/a.slice/b.service",
                                                          "process:cgroup:pids:/a",
                                                          "process:cgroup:name=systemd:/a",
                                                          "process:scope:run-1.scope",
                                                          "process:ancestor:/usr/bin/sh",
                                                          "process:ancestor_sha256:" + hex,
                                                          "process:loginuid:1000",
                                                          "process:tty:none",
                                                          "process:tty:pts/3",
                                                          "process:ns:net:host",
                                                          "process:ns:mnt:4026531841",
                                                          "process:traced:false",
                                                          "process:no_new_privs:true",
                                                          "systemd:id:refund.service",
                                                          "systemd:id:agent@a\\x2db:1.service",
                                                          "systemd:id:-.slice",
                                                          "systemd:id:run-r1.scope",
                                                          "systemd:fragment_path:/etc/systemd/system/agent@.service",
                                                          "systemd:slice:agents.slice",
                                                          "systemd:invocation_id:" + hex.substr(32)}) {
    EXPECT_EQ(CheckCode(text), StatusCode::kOk) << text;
  }
}

TEST(SelectorTest, RefusesValuesThatCouldNeverMatch) {
  for (const std::string& text : std::vector<std::string>{"unix:uid:",
                                                          "unix:uid:01",
                                                          "unix:uid:-1",
                                                          "unix:uid:+1",
                                                          "unix:uid: 1",
                                                          "unix:uid:1x",
                                                          "unix:uid:4294967296",
                                                          "unix:uid",
                                                          "unix:path:bin/x",
                                                          "unix:path:/a/../b",
                                                          "unix:path:/a/./b",
                                                          "unix:path:/a//b",
                                                          "unix:path:/a/",
                                                          "unix:sha256:abc",
                                                          "unix:sha256:" + std::string(64, 'A'),
                                                          "unix:sha256:" + std::string(65, 'a'),
                                                          "process:cgroup:a",
                                                          "process:cgroup::/a",
                                                          "process:cgroup:cpu,cpuacct:/a",
                                                          "process:cgroup:/../a",
                                                          "process:scope:a.service",
                                                          "process:scope:.scope",
                                                          "process:scope:a/b.scope",
                                                          "process:traced:yes",
                                                          "process:no_new_privs:1",
                                                          "systemd:id:refund",
                                                          "systemd:id:.service",
                                                          "systemd:id:daily.timer",
                                                          "systemd:id:agent@.service",
                                                          "systemd:id:a/b.service",
                                                          "systemd:id:" + std::string(250, 'a') + ".service",
                                                          "systemd:fragment_path:refund.service",
                                                          "systemd:slice:agents",
                                                          "systemd:slice:refund.service",
                                                          "systemd:invocation_id:" + std::string(32, 'A'),
                                                          "systemd:invocation_id:" + std::string(31, 'a'),
                                                          "process:ns:net",
                                                          "process:ns:time:1",
                                                          "process:ns:net:01",
                                                          "process:ns:net:hosts",
                                                          "process:loginuid:unset"}) {
    EXPECT_EQ(CheckCode(text), StatusCode::kInvalidArgument) << text;
  }
}

TEST(SelectorTest, NamesTheValidKindsWhenOneIsUnknown) {
  const Status status = CheckSelector({"unix", "usr:bob"}).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(Message(status).find("uid, user, gid"), std::string_view::npos) << status;
  // never selectors: what a process writes itself
  for (std::string_view text : {"process:cmdline:x", "process:env:A=b", "process:cwd:/x"}) {
    EXPECT_EQ(CheckCode(text), StatusCode::kInvalidArgument) << text;
  }
}

TEST(SelectorTest, LeavesOtherAttestorsTypesToThem) {
  EXPECT_EQ(CheckCode("gcp:image_id:x"), StatusCode::kNotFound);
}

TEST(SelectorTest, ShowsNoValueOfAVariable) {
  EXPECT_EQ(Shown({"docker", "env:TOKEN=a=b"}), "docker:env:TOKEN=(not shown)");
  EXPECT_EQ(Shown({"docker", "label:env:a=b"}), "docker:label:env:a=b");
  EXPECT_EQ(Shown({"unix", "uid:1"}), "unix:uid:1");
}

TEST(SelectorTest, ChecksWhatAContainerEngineSays) {
  for (std::string_view good : {"docker:label:team:refunds", "docker:label:url:http://x:1", "docker:label:empty:",
                                "docker:env:A=", "docker:env:A=b=c", "docker:image_id:agent:v1"}) {
    EXPECT_EQ(CheckCode(good), StatusCode::kOk) << good;
  }
  EXPECT_EQ(CheckCode("docker:image_config_digest:sha256:" + std::string(64, 'a')), StatusCode::kOk);
  for (std::string_view bad : {"docker:label:team", "docker:label::x", "docker:env:A", "docker:env:=b",
                               "docker:image_id:", "docker:image_config_digest:sha256:ab", "docker:id:x"}) {
    EXPECT_EQ(CheckCode(bad), StatusCode::kInvalidArgument) << bad;
  }
}

TEST(SelectorTest, WhatAProcessCanSetItselfAndWhatManyShareOnlyNarrows) {
  const std::set<std::string> narrow = {
      "process:tty",      "process:ns",          "process:traced",           "process:no_new_privs",
      "process:loginuid", "k8s:pod-image-count", "k8s:pod-init-image-count", "k8s:node-name"};
  for (const SelectorKind& kind : SelectorKinds()) {
    const std::string name = fmt::format("{}:{}", kind.type, kind.kind);
    EXPECT_EQ(kind.strength == SelectorStrength::kNarrowsOnly, narrow.contains(name)) << name;
  }
}

TEST(SelectorTest, ChecksWhatAKubeletSays) {
  for (std::string_view good : {"k8s:ns:shop", "k8s:sa:refund-bot", "k8s:pod-label:app:refund",
                                "k8s:pod-label:empty:", "k8s:pod-owner:ReplicaSet:refund-7d9c",
                                "k8s:pod-image:a@sha256:b", "k8s:pod-image-count:2"}) {
    EXPECT_EQ(CheckCode(good), StatusCode::kOk) << good;
  }
  for (std::string_view bad :
       {"k8s:ns:", "k8s:namespace:shop", "k8s:pod-label:app", "k8s:pod-owner:refund",
        "k8s:pod-owner:ReplicaSet:", "k8s:pod-image-count:two", "k8s:image-signature-subject:x"}) {
    EXPECT_EQ(CheckCode(bad), StatusCode::kInvalidArgument) << bad;
  }
}

}  // namespace
}  // namespace lanyard
