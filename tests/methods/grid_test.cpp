// Grids from the command line's options: what multiplies, what is refused and how.
#include "engine/methods/grid.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/error_of.h"

namespace qi {
namespace {

std::vector<std::string> texts(std::string_view family, const GridOptions& given) {
  std::vector<std::string> out;
  for (const Params& params : find_family(family)->expand(given)) out.push_back(params.text());
  return out;
}

std::string refusal(std::string_view family, const GridOptions& given) {
  const auto error = test::error_of([&] { find_family(family)->expand(given); });
  if (!error) return "none";
  EXPECT_EQ(error->code, ErrorCode::kUsage);
  return error->message + ": " + error->expected;
}

using ::testing::ElementsAre;

TEST(Grid, DefaultsAreThoseOfTheContract) {
  EXPECT_THAT(texts("zfp", {}), ElementsAre("dims=2;layout=field;mode=rate;rate=4",
                                            "dims=2;layout=field;mode=rate;rate=8",
                                            "dims=2;layout=field;mode=rate;rate=16"));
  EXPECT_THAT(texts("rtn", {}), ElementsAre("bits=4;group=128;style=minmax;symmetric=no"));
  EXPECT_THAT(texts("int8", {}), ElementsAre(""));
  EXPECT_THAT(texts("fp8", {}), ElementsAre("format=e4m3;scales=channel"));
  EXPECT_THAT(texts("nf4", {}), ElementsAre("block=64;nested=no"));
  EXPECT_THAT(texts("mxfp4", {}), ElementsAre(""));
  EXPECT_THAT(texts("nvfp4", {}), ElementsAre(""));
  EXPECT_THAT(texts("lossless", {}), ElementsAre("codec=store", "codec=lz4", "codec=zstd;level=3",
                                                 "codec=huffman", "codec=planes", "codec=pair"));
}

TEST(Grid, ListsMultiplyAndEqualOnesAreOne) {
  EXPECT_THAT(
      texts("zfp", {{"rates", {"8", "8.0"}}, {"dims", {"1", "3"}}}),
      ElementsAre("dims=1;layout=field;mode=rate;rate=8", "dims=3;layout=field;mode=rate;rate=8"));
  EXPECT_THAT(texts("zfp", {{"reversible", {}}, {"precisions", {"12"}}, {"promote", {"f64"}}}),
              ElementsAre("dims=2;layout=field;mode=precision;precision=12;promote=f64",
                          "dims=2;layout=field;mode=reversible;promote=f64"));
  EXPECT_THAT(texts("zfp", {{"tolerances", {"1e-3"}}}),
              ElementsAre("dims=2;layout=field;mode=tolerance;tolerance=0.001"));
  EXPECT_THAT(texts("rtn", {{"symmetric", {}}}),
              ElementsAre("bits=4;group=128;style=minmax;symmetric=yes"));
  EXPECT_THAT(texts("rtn", {{"symmetric", {}}, {"asymmetric", {}}, {"styles", {"awq"}}}),
              ElementsAre("bits=4;group=128;style=awq;symmetric=no",
                          "bits=4;group=128;style=awq;symmetric=yes"));
  // absmax has no zero points, whatever the others have
  EXPECT_THAT(texts("rtn", {{"styles", {"restricted"}}, {"group-sizes", {"row"}}}),
              ElementsAre("bits=4;group=row;style=restricted;symmetric=yes"));
  EXPECT_THAT(texts("lossless", {{"codecs", {"zstd", "lz4"}}, {"levels", {"1", "19"}}}),
              ElementsAre("codec=zstd;level=1", "codec=zstd;level=19", "codec=lz4"));
}

TEST(Grid, WhatAFamilyDoesNotTakeIsRefusedByName) {
  EXPECT_EQ(refusal("rtn", {{"bits", {"9"}}}), "'9' is no value of --bits: 1 to 8");
  EXPECT_EQ(refusal("rtn", {{"bits", {"04"}}}), "'04' is no value of --bits: 1 to 8");
  EXPECT_EQ(refusal("rtn", {{"bits", {}}}), "--bits without a value: 1 to 8");
  EXPECT_EQ(refusal("rtn", {{"group-sizes", {"0"}}}),
            "'0' is no value of --group-sizes: 1 to 4294967296");
  EXPECT_EQ(refusal("rtn", {{"styles", {"ggml"}}}),
            "'ggml' is no value of --styles: minmax, full, restricted, awq");
  EXPECT_EQ(refusal("rtn", {{"bits", {"1"}}, {"styles", {"restricted"}}}),
            "'1' is no value of rtn bits=: 2 to 8");
  EXPECT_EQ(refusal("zfp", {{"rates", {"33"}}}),
            "'33' is no value of --rates: 0.5625 to 32 bits (2-D blocks of float32)");
  EXPECT_EQ(refusal("zfp", {{"rates", {"2"}}, {"dims", {"1"}}}),
            "'2' is no value of --rates: 2.25 to 32 bits (1-D blocks of float32)");
  EXPECT_EQ(refusal("zfp", {{"rates", {"33"}}, {"promote", {"f64"}}}), "none");
  // What one combination of a grid cannot take leaves the others alone.
  EXPECT_THAT(
      texts("zfp", {{"rates", {"2"}}, {"dims", {"1", "2"}}}),
      ElementsAre("dims=1;layout=field;mode=rate;rate=2", "dims=2;layout=field;mode=rate;rate=2"));
  MatrixInfo matrix;
  matrix.rows = matrix.cols = 8;
  const auto unfit = [&](std::string_view params) {
    return find_family("zfp")->unfit(Params::parse(params), matrix);
  };
  EXPECT_EQ(unfit("dims=1;layout=field;mode=rate;rate=2"),
            "a rate of 2: zfp takes 2.25 to 32 bits (1-D blocks of float32)");
  EXPECT_EQ(unfit("dims=2;layout=field;mode=rate;rate=2"), "");
  EXPECT_EQ(unfit("dims=2;layout=field;mode=precision;precision=40"),
            "a precision of 40: zfp takes 1 to 32 bit planes (2-D blocks of float32)");
  EXPECT_EQ(refusal("zfp", {{"rates", {"-1"}}}), "'-1' is no value of --rates: a number above 0");
  EXPECT_EQ(refusal("zfp", {{"rates", {"nan"}}}), "'nan' is no value of --rates: a number above 0");
  EXPECT_EQ(refusal("zfp", {{"precisions", {"33"}}}),
            "'33' is no value of --precisions: 1 to 32 bit planes (2-D blocks of float32)");
  EXPECT_EQ(refusal("zfp", {{"dims", {"5"}}}), "'5' is no value of --dims: 1 to 4");
  EXPECT_EQ(refusal("nf4", {{"block-sizes", {"63"}}}),
            "'63' is no value of --block-sizes: an even number");
  EXPECT_EQ(refusal("lossless", {{"codecs", {"gzip"}}}),
            "'gzip' is no value of --codecs: store, lz4, zstd, huffman, planes, pair");
  EXPECT_EQ(refusal("int8", {{"outlier-threshold", {"0"}}}),
            "'0' is no value of --outlier-threshold: a number above 0");
}

TEST(Grid, GgmlTakesTypesMixturesAndAHash) {
  EXPECT_THAT(
      texts("ggml", {{"types", {"q4_k", "q4_k_m"}}, {"imatrix", {"0123456789abcdef"}}}),
      ElementsAre("imatrix=0123456789abcdef;type=Q4_K", "imatrix=0123456789abcdef;mixture=Q4_K_M"));
  EXPECT_GE(texts("ggml", {{"types", {"all"}}}).size(), 12u);
  const std::string expected =
      ": a type or mixture that llama-quantize writes, such as Q4_K or "
      "Q4_K_M";
  EXPECT_EQ(refusal("ggml", {{"types", {"Q4_X"}}}), "'Q4_X' is no value of --types" + expected);
  EXPECT_EQ(refusal("ggml", {{"types", {"Q4_2"}}}), "'Q4_2' is no value of --types" + expected);
  EXPECT_EQ(refusal("ggml", {{"imatrix", {"file.dat"}}}),
            "'file.dat' is no value of ggml imatrix=: 16 hex digits");
}

TEST(Ggml, RowsFallBackAsLlamaQuantizeDoesAndSaySo) {
  const MethodFamily& family = *find_family("ggml");
  const auto bytes_of = [&](const char* type, std::uint64_t cols) {
    Params params;
    params.set("type", type);
    return *family.predict(params, {1, cols, 1, DType::kBF16, {}});
  };
  EXPECT_EQ(bytes_of("Q4_K", 512), 2 * 144u);
  EXPECT_EQ(bytes_of("Q4_K", 320), 10 * 22u);   // Q5_0
  EXPECT_EQ(bytes_of("Q5_K", 320), 10 * 24u);   // Q5_1
  EXPECT_EQ(bytes_of("Q6_K", 320), 10 * 34u);   // Q8_0
  EXPECT_EQ(bytes_of("Q3_K", 320), 10 * 18u);   // IQ4_NL
  EXPECT_EQ(bytes_of("TQ1_0", 320), 10 * 18u);  // Q4_0
  EXPECT_EQ(bytes_of("Q4_K", 172), 344u);       // F16
  EXPECT_EQ(bytes_of("Q8_0", 172), 344u);
  const auto note = [&](std::string_view params, std::uint64_t cols,
                        std::span<const float> importance = {}) {
    return family.note(Params::parse(params), {1, cols, 1, DType::kBF16, importance});
  };
  EXPECT_EQ(note("type=Q4_K", 256), "");
  EXPECT_EQ(note("type=Q4_K", 320), "stored as Q5_0: a row of 320 is no multiple of 256");
  EXPECT_EQ(note("type=Q8_0", 172), "stored as F16: a row of 172 is no multiple of 32");
  const std::vector<float> importance(256, 1.0f);
  const std::string_view weighted = "imatrix=0123456789abcdef;type=Q4_K";
  EXPECT_EQ(note(weighted, 256, importance), "");
  EXPECT_EQ(note(weighted, 256), "the importance matrix does not have this weight");
}

TEST(Ggml, WhatNeedsAnImportanceMatrixIsRefusedWithoutOne) {
  const MethodFamily& family = *find_family("ggml");
  const std::vector<float> importance(256, 1.0f);
  const MatrixInfo without{1, 256, 1, DType::kBF16, {}};
  const MatrixInfo with{1, 256, 1, DType::kBF16, importance};
  const Params plain = Params::parse("type=IQ1_S");
  const Params weighted = Params::parse("imatrix=0123456789abcdef;type=IQ1_S");
  const std::string message = "IQ1_S needs an importance matrix with this weight in it";
  EXPECT_EQ(family.unfit(plain, without), message);
  EXPECT_EQ(family.unfit(plain, with), message);
  EXPECT_EQ(family.unfit(weighted, without), message);
  EXPECT_EQ(family.unfit(weighted, with), "");
  EXPECT_EQ(test::class_of([&] { family.make(plain, with); }), "missing");
  const auto all = [&](GridOptions given) {
    given["types"] = {"all"};
    return texts("ggml", given).size();
  };
  EXPECT_EQ(all({{"imatrix", {"0123456789abcdef"}}}), all({}) + 5);
}

TEST(Ggml, MixturesAreForWhoeverKnowsTheModel) {
  const MethodFamily& family = *find_family("ggml");
  const Params params = Params::parse("mixture=Q4_K_M");
  const MatrixInfo matrix{1, 256, 1, DType::kBF16, {}};
  EXPECT_EQ(family.unfit(params, matrix), "Q4_K_M is made of several types");
  EXPECT_EQ(test::class_of([&] { family.make(params, matrix); }), "missing");
  EXPECT_EQ(family.predict(params, matrix), std::nullopt);
}

TEST(Grid, LabelsAreShort) {
  const auto label = [](std::string family, std::string_view params) {
    return config_label({std::move(family), Params::parse(params)});
  };
  EXPECT_EQ(label("zfp", "dims=2;layout=field;mode=rate;rate=6"), "zfp 2D rate 6");
  EXPECT_EQ(label("zfp", "dims=1;layout=block;mode=reversible"), "zfp 1D block reversible");
  EXPECT_EQ(label("rtn", "bits=4;group=128;style=minmax;symmetric=yes"), "rtn 4 g128 sym");
  EXPECT_EQ(label("rtn", "bits=8;group=row;style=full;symmetric=no"), "rtn 8 row asym full");
  EXPECT_EQ(label("nf4", "block=64;nested=yes"), "nf4 b64 nested");
  EXPECT_EQ(label("int8", "outlier-threshold=6"), "int8 outliers 6");
  EXPECT_EQ(label("fp8", "format=e4m3;scales=block128"), "fp8 e4m3 block128");
  EXPECT_EQ(label("lossless", "codec=zstd;level=3"), "zstd 3");
  EXPECT_EQ(label("ggml", "type=Q4_K"), "Q4_K");
  EXPECT_EQ(label("ggml", "imatrix=0123456789abcdef;mixture=Q4_K_M"), "Q4_K_M imatrix");
  EXPECT_EQ(label("hqq", "bits=4"), "hqq bits=4");  // a family of later days
}

}  // namespace
}  // namespace qi
