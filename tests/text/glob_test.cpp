#include "engine/text/glob.h"

#include <string>

#include <gtest/gtest.h>

namespace qi {
namespace {

TEST(Glob, MatchesLikeAShell) {
  EXPECT_TRUE(glob_match("*", ""));
  EXPECT_TRUE(glob_match("*q_proj*", "model.layers.0.self_attn.q_proj.weight"));
  EXPECT_FALSE(glob_match("q_proj", "model.q_proj"));
  EXPECT_TRUE(glob_match("layers.?.weight", "layers.7.weight"));
  EXPECT_FALSE(glob_match("layers.?.weight", "layers.17.weight"));
  EXPECT_TRUE(glob_match("layers.[0-3].*", "layers.2.q"));
  EXPECT_FALSE(glob_match("layers.[!0-3].*", "layers.2.q"));
  EXPECT_TRUE(glob_match("[]]", "]"));
  EXPECT_TRUE(glob_match("a[b", "a[b"));
  EXPECT_TRUE(glob_match("a\\*b", "a*b"));
  EXPECT_FALSE(glob_match("a\\*b", "axb"));
  EXPECT_TRUE(glob_match("?", "重"));
  EXPECT_TRUE(glob_match("*a*b*c", "xaybzbc"));
  EXPECT_FALSE(glob_match("", "a"));
  EXPECT_TRUE(glob_match("", ""));
  EXPECT_FALSE(glob_match("\xFF", "\u00FF"));
  EXPECT_TRUE(glob_match("\xFF*", "\xFFz"));
  EXPECT_TRUE(glob_match("a\\", "a\\"));
}

TEST(Glob, ManyStarsStayFast) {
  std::string pattern;
  for (int i = 0; i < 200; ++i) pattern += "*a";
  EXPECT_FALSE(glob_match(pattern + "b", std::string(5000, 'a')));
}

TEST(NameFilter, IncludesAndExcludes) {
  EXPECT_TRUE(NameFilter().matches("x"));
  const NameFilter only({"*.q_proj.*", "*.k_proj.*"});
  EXPECT_TRUE(only.matches("l.k_proj.weight"));
  EXPECT_FALSE(only.matches("l.v_proj.weight"));
  const NameFilter without({"!*norm*"});
  EXPECT_TRUE(without.matches("l.v_proj.weight"));
  EXPECT_FALSE(without.matches("input_layernorm.weight"));
  const NameFilter both({"*layers.0.*", "!*norm*"});
  EXPECT_FALSE(both.matches("layers.1.q"));
  EXPECT_TRUE(both.matches("a.layers.0.q"));
  EXPECT_FALSE(both.matches("a.layers.0.norm"));
}

}  // namespace
}  // namespace qi
