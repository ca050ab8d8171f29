#include "engine/methods/params.h"

#include <gtest/gtest.h>

#include "engine/io/error.h"

namespace qi {
namespace {

TEST(params, the_text_is_sorted_and_reads_back) {
  Params params;
  params.set("rate", "4");
  params.set("dims", "2");
  params.set("rate", "8");
  EXPECT_EQ(params.text(), "dims=2;rate=8");
  EXPECT_EQ(Params::parse("dims=2;rate=8"), params);
  EXPECT_EQ(Params::parse(""), Params());
  EXPECT_EQ(params.get("rate"), "8");
  EXPECT_EQ(params.get("mode"), std::nullopt);
}

TEST(params, what_is_not_canonical_is_refused) {
  for (const char* text : {"rate=8;dims=2", "a", "=1", "a=", "a=1;", ";a=1", "a=1;a=1", "a=b=c",
                           "a=1;;b=2", ";", "="}) {
    EXPECT_THROW(Params::parse(text), Error) << text;
  }
  Params params;
  EXPECT_THROW(params.set("a;b", "1"), Error);
  EXPECT_THROW(params.set("a", ""), Error);
}

}  // namespace
}  // namespace qi
