#include "common/config_document.h"

#include <gtest/gtest.h>

#include "common/concat.h"

namespace common {
namespace {

std::string Repeat(std::string_view piece, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += piece;
  return text;
}

// Ten values per level, each level ten times the one before.
std::string AliasBomb(int levels) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int level = 1; level <= levels; ++level) {
    const std::string below = Concat("*a", level - 1);
    text += Concat("a", level, ": &a", level, " [", below, Repeat(Concat(", ", below), 9), "]\n");
  }
  return text;
}

TEST(ConfigDocumentTest, NodesKnowTheirKindAndPlace) {
  const absl::StatusOr<ConfigNode> root = ParseConfig("a: 1\nb:\n  - 'x'\n  -\nc: {d: e}\n", "f");
  ASSERT_TRUE(root.ok()) << root.status();
  ASSERT_EQ(root->kind(), ConfigNode::Kind::kMapping);
  ASSERT_EQ(root->entries().size(), 3u);

  const ConfigNode::Entry& a = root->entries()[0];
  EXPECT_EQ(a.key, "a");
  EXPECT_EQ(a.value.text(), "1");
  EXPECT_FALSE(a.value.IsQuoted());
  EXPECT_EQ(RenderPlace(a.key_place), "f:1:1");
  EXPECT_EQ(RenderPlace(a.value.place()), "f:1:4");

  const ConfigNode& b = root->entries()[1].value;
  ASSERT_EQ(b.kind(), ConfigNode::Kind::kList);
  ASSERT_EQ(b.items().size(), 2u);
  EXPECT_TRUE(b.items()[0].IsQuoted());
  EXPECT_EQ(RenderPlace(b.items()[0].place()), "f:3:5");
  EXPECT_EQ(b.items()[1].kind(), ConfigNode::Kind::kNull);
  EXPECT_EQ(root->entries()[2].value.kind(), ConfigNode::Kind::kMapping);
}

TEST(ConfigDocumentTest, AnEmptyFileIsNull) {
  for (const std::string_view text : {"", "\n", "# nothing\n", "---\n"}) {
    SCOPED_TRACE(text);
    const absl::StatusOr<ConfigNode> root = ParseConfig(text, "f");
    ASSERT_TRUE(root.ok());
    EXPECT_EQ(root->kind(), ConfigNode::Kind::kNull);
  }
}

TEST(ConfigDocumentTest, AnAliasStandsForWhatItNames) {
  const absl::StatusOr<ConfigNode> root = ParseConfig("a: &x {k: v}\nb: *x\n", "f");
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_EQ(root->entries()[1].value.entries()[0].value.text(), "v");
}

TEST(ConfigDocumentTest, WhatIsNoGoodIsRefusedWithItsPlace) {
  struct Case {
    std::string_view name;
    std::string text;
    std::string_view want;
  };
  const Case cases[] = {
      {"not YAML", "a: [1,\n", "f:2:1: "},
      {"tab for indentation", "a:\n\tb: 1\n", "f:2:3: "},
      {"duplicate key", "a: 1\nb: 2\na: 3\n", "f:3:1: duplicate key \"a\", first in line 1"},
      {"duplicate key inside", "a: {b: 1, b: 2}", "f:1:11: duplicate key \"b\", first in line 1"},
      {"second document", "a: 1\n---\nb: 2\n", ": a second document; a file holds one"},
      {"a list for a key", "? [a]\n: 1\n", "f:1:3: a key is a plain text"},
      {"unknown alias", "a: *sk-secret\n", "f:1:4: the referenced anchor is not defined"},
      {"alias of itself", "a: &x [*x]\n", "f:1:8: an alias inside what it names"},
      {"alias bomb", AliasBomb(5), ": more than 100000 values"},
      {"large alias bomb", AliasBomb(40), ": more than 100000 values"},
      {"many values", Concat("[", Repeat("x,", 100'001), "]"), ": more than 100000 values"},
      {"deep", Concat(Repeat("[", 65), Repeat("]", 65)), "f:1:65: nested deeper than 64"},
      {"deep by alias",
       Concat("a: &a ", Repeat("[", 40), Repeat("]", 40), "\nb: ", Repeat("[", 40), "*a",
              Repeat("]", 40)),
       "f:2:44: nested deeper than 64"},
      {"very deep", Repeat("[", 100'000), "nested deeper than 64"},
      {"large", std::string(4 * 1024 * 1024 + 1, ' '), "f:1:1: larger than 4194304 bytes"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const absl::StatusOr<ConfigNode> root = ParseConfig(c.text, "f");
    ASSERT_FALSE(root.ok());
    EXPECT_EQ(root.status().code(), absl::StatusCode::kInvalidArgument);
    const std::string message(root.status().message());
    EXPECT_NE(message.find(c.want), std::string::npos) << message;
    EXPECT_EQ(message.find("secret"), std::string::npos) << message;
  }
}

TEST(ConfigDocumentTest, SixtyFourLevelsAreAllowed) {
  EXPECT_TRUE(ParseConfig(Concat(Repeat("[", 64), Repeat("]", 64)), "f").ok());
}

TEST(ConfigDocumentTest, AMissingFileIsNamed) {
  const absl::StatusOr<ConfigNode> root = ReadConfigFile("/nowhere/gateway.yaml");
  EXPECT_EQ(root.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(std::string(root.status().message()).find("/nowhere/gateway.yaml"), std::string::npos);
}

}  // namespace
}  // namespace common
