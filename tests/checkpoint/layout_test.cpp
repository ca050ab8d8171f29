#include "engine/checkpoint/layout.h"

#include <algorithm>
#include <cmath>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/checkpoint/checkpoint_folder.h"
#include "engine/checkpoint/row_coder.h"
#include "engine/format/open.h"
#include "engine/tensor/numbers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vectors.h"

namespace qi {
namespace {

using test::read_vectors;
using test::TempDir;
using test::VectorTensors;

Model open_path(const std::string& path) {
  return open_model(find_models(path).models.front());
}

// ---- the codes of folders that other programs' packers made, packed to the very bytes they have
// --

struct Repacked {
  const char* folder;
  LayoutFormat format;
  bool symmetric;
};

class Repack : public testing::TestWithParam<Repacked> {
 protected:
  std::string dir_ = std::string(QI_TEST_DATA "/checkpoints/") + GetParam().folder;
  Model model_ = open_path(dir_ + "/model.safetensors");
  VectorTensors raw_ = read_vectors(dir_ + "/model.safetensors");

  CodedMatrix coded(const Weight& weight) const {
    CodedMatrix matrix;
    matrix.rows = weight.rows();
    matrix.cols = weight.cols();
    matrix.bits = GetParam().format.bits;
    matrix.symmetric = GetParam().symmetric;
    const auto reader = open_reader(model_, weight);
    std::vector<std::uint16_t> codes(weight.params);
    reader->codes({0, matrix.rows, 0, matrix.cols}, codes.data());
    const bool is_signed = GetParam().format.layout == Layout::kInt8;
    for (const std::uint16_t code : codes) {
      matrix.codes.push_back(static_cast<std::uint8_t>(code ^ (is_signed ? 0x80 : 0)));
    }
    const std::string module = module_of(weight.name);
    const std::uint64_t width =
        GetParam().format.group == 0 ? matrix.cols : GetParam().format.group;
    matrix.groups = (matrix.cols + width - 1) / width;
    matrix.group_of.resize(matrix.cols);
    for (std::uint32_t c = 0; c < matrix.cols; ++c) {
      matrix.group_of[c] = c / static_cast<std::uint32_t>(width);
    }
    if (const auto index = raw_.find(module + ".g_idx"); index != raw_.end()) {
      matrix.group_of = index->second.as<std::uint32_t>();
    }
    add_grids(module, *reader, matrix);
    return matrix;
  }

 private:
  void add_grids(const std::string& module, WeightReader& reader, CodedMatrix& matrix) const {
    if (GetParam().format.layout == Layout::kSpqr) return add_tiles(module, matrix);
    std::vector<float> scales, zeros;
    reader.scales([&](const ScaleRun& run) {
      scales.insert(scales.end(), run.scales.begin(), run.scales.end());
      zeros.insert(zeros.end(), run.zeros.begin(), run.zeros.end());
      return true;
    });
    zeros.resize(scales.size(), static_cast<float>(1 << (matrix.bits - 1)));
    const bool by_group = GetParam().format.layout == Layout::kAwq;  // others' runs are rows
    for (std::uint64_t r = 0; r < matrix.rows; ++r) {
      for (std::uint64_t g = 0; g < matrix.groups; ++g) {
        const std::uint64_t at = by_group ? g * matrix.rows + r : r * matrix.groups + g;
        matrix.scales.push_back(scales[at]);
        matrix.zeros.push_back(matrix.symmetric ? static_cast<float>(1 << (matrix.bits - 1))
                                                : zeros[at]);
      }
    }
  }

  // SpQR, by the words of its specification.
  void add_tiles(const std::string& module, CodedMatrix& matrix) const {
    const auto words = raw_.at(module + ".dense_weights").as<std::uint64_t>();
    const auto order = raw_.at(module + ".in_perm").as<std::uint16_t>();
    matrix.order.assign(order.begin(), order.end());
    for (std::uint32_t k = 0; k < matrix.cols; ++k) matrix.group_of[order[k]] = k / 16;
    matrix.scale_codes.emplace();
    matrix.zero_codes.emplace();
    for (std::uint64_t ti = 0; ti < matrix.rows / 16; ++ti) {
      for (std::uint64_t k = 0; k < 16; ++k) {
        for (std::uint64_t tj = 0; tj < matrix.groups; ++tj) {
          const std::uint64_t word = words[(ti * matrix.groups + tj) * 16 + k];
          matrix.scale_codes->codes.push_back(word & 7);
          matrix.zero_codes->codes.push_back(word >> 3 & 7);
        }
      }
      for (std::uint64_t tj = 0; tj < matrix.groups; ++tj) {
        std::uint64_t v = 0;
        for (unsigned t = 0; t < 8; ++t) {
          v |= (words[(ti * matrix.groups + tj) * 16 + 2 * t] >> 54 & 0xFF) << (8 * t);
        }
        const auto half = [&](unsigned n) {
          return f16_to_float(static_cast<std::uint16_t>(v >> (16 * n)));
        };
        matrix.scale_codes->grid_scales.push_back(half(0));
        matrix.zero_codes->grid_scales.push_back(half(1));
        matrix.scale_codes->grid_zeros.push_back(half(2));
        matrix.zero_codes->grid_zeros.push_back(half(3));
      }
    }
    matrix.scales.resize(matrix.rows * matrix.groups);
    matrix.zeros.resize(matrix.rows * matrix.groups);
    hold(GetParam().format, matrix);  // scales and zeros from their codes
    const auto offsets = raw_.at(module + ".row_offsets").as<std::uint32_t>();
    const auto values = raw_.at(module + ".col_vals").as<std::uint32_t>();
    std::vector<float> line(matrix.cols);
    for (std::uint32_t r = 0; r < matrix.rows; ++r) {
      CodedMatrix plain = matrix;
      plain.outliers.clear();
      plain.row_values(r, line.data());
      for (std::uint32_t i = offsets[r]; i < offsets[r + 1]; ++i) {
        const std::uint32_t col = order[values[i] & 0xFFFF];
        const float added = f16_to_float(static_cast<std::uint16_t>(values[i] >> 16));
        matrix.outliers.push_back({r, col, line[col] + added});
      }
    }
  }
};

TEST_P(Repack, GivesTheBytesOfTheFolder) {
  std::size_t weights = 0;
  for (const Weight& weight : model_.weights) {
    if (weight.scheme == Scheme::kNone) continue;
    ++weights;
    CodedMatrix matrix = coded(weight);
    ASSERT_EQ(unfit(GetParam().format, matrix.rows, matrix.cols), "");
    hold(GetParam().format, matrix);
    const std::vector<PackedPart> parts = pack(GetParam().format, weight.name, matrix);
    EXPECT_EQ(parts.size(), weight.parts.size());
    for (const PackedPart& part : parts) {
      const auto found = raw_.find(part.name);
      ASSERT_NE(found, raw_.end()) << part.name;
      EXPECT_EQ(part.shape, found->second.shape) << part.name;
      EXPECT_TRUE(part.bytes == found->second.bytes) << part.name;
    }
  }
  EXPECT_GE(weights, 2u);
}

INSTANTIATE_TEST_SUITE_P(
    Folders, Repack,
    testing::Values(Repacked{"gptq-3bit", {Layout::kGptq, 3, 32, DType::kF16}, true},
                    Repacked{"gptq-4bit-actorder", {Layout::kGptq, 4, 32, DType::kF16}, true},
                    Repacked{"gptq-8bit", {Layout::kGptq, 8, 0, DType::kF16}, false},
                    Repacked{"awq-4bit", {Layout::kAwq, 4, 32, DType::kF16}, false},
                    Repacked{"ct-int4-group", {Layout::kPacked, 4, 32, DType::kBF16}, true},
                    Repacked{"ct-int8-channel", {Layout::kInt8, 8, 0, DType::kBF16}, true},
                    Repacked{"spqr-3bit", {Layout::kSpqr, 3, 16, DType::kF16}, false}),
    [](const auto& tested) {
      std::string name = tested.param.folder;
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

// ---- matrices of any shape through a file and the reader
// -----------------------------------------

CodedMatrix random_matrix(const LayoutFormat& format, std::uint64_t rows, std::uint64_t cols,
                          bool symmetric, std::mt19937& random) {
  CodedMatrix m;
  m.rows = rows;
  m.cols = cols;
  m.bits = format.bits;
  m.symmetric = symmetric;
  const std::uint64_t width = format.group == 0 ? cols : format.group;
  m.groups = (cols + width - 1) / width;
  const auto below = [&](unsigned n) { return static_cast<std::uint8_t>(random() % n); };
  const unsigned codes = 1u << format.bits;
  for (std::uint64_t i = 0; i < rows * cols; ++i) m.codes.push_back(below(codes));
  for (std::uint32_t c = 0; c < cols; ++c) {
    m.group_of.push_back(c / static_cast<std::uint32_t>(width));
  }
  const auto number = [&] { return 1e-3f * static_cast<float>(1 + random() % 1000); };
  for (std::uint64_t i = 0; i < rows * m.groups; ++i) {
    m.scales.push_back(number());
    m.zeros.push_back(static_cast<float>(symmetric ? codes / 2 : below(codes)));
  }
  if (format.layout != Layout::kSpqr) return m;
  m.scale_codes.emplace();
  m.zero_codes.emplace();
  for (CodedMatrix::SecondLevel* level : {&*m.scale_codes, &*m.zero_codes}) {
    for (std::uint64_t i = 0; i < rows * m.groups; ++i) level->codes.push_back(below(8));
    for (std::uint64_t i = 0; i < rows / 16 * m.groups; ++i) {
      level->grid_scales.push_back(number());
      level->grid_zeros.push_back(-number());
    }
  }
  for (std::uint32_t r = 0; r < rows; r += 3) {
    m.outliers.push_back({r, static_cast<std::uint32_t>((7 * r + 1) % cols), -number()});
  }
  for (std::uint32_t c = 0; c < cols; ++c) m.order.push_back(c);
  std::shuffle(m.order.begin(), m.order.end(), random);
  for (std::uint32_t k = 0; k < cols; ++k) m.group_of[m.order[k]] = k / 16;
  return m;
}

TEST(Layout, ReadsBackAsTheMatrixForEveryShape) {
  const Workers workers;
  std::mt19937 random(7);
  struct Case {
    LayoutFormat format;
    bool symmetric;
    std::uint64_t rows, cols;
  };
  std::vector<Case> cases;
  for (const bool symmetric : {true, false}) {
    for (const int bits : {2, 3, 4, 8}) {
      cases.push_back({{Layout::kPacked, bits, 0, DType::kBF16}, symmetric, 33, 77});
      cases.push_back({{Layout::kPacked, bits, 16, DType::kF16}, symmetric, 5, 48});
      cases.push_back({{Layout::kGptq, bits, 0, DType::kF16}, symmetric, 64, 96});
      cases.push_back({{Layout::kGptq, bits, 32, DType::kF32}, symmetric, 32, 160});
    }
    cases.push_back({{Layout::kInt8, 8, 0, DType::kF32}, symmetric, 130, 9});
  }
  cases.push_back({{Layout::kAwq, 4, 32, DType::kF16}, false, 72, 96});
  cases.push_back({{Layout::kSpqr, 3, 16, DType::kF16}, false, 48, 80});
  for (const Case& c : cases) {
    const TempDir dir;
    CodedMatrix matrix = random_matrix(c.format, c.rows, c.cols, c.symmetric, random);
    if (c.format.layout == Layout::kGptq && c.format.group != 0) {
      std::shuffle(matrix.group_of.begin(), matrix.group_of.end(), random);  // act-order
    }
    QuantizedWeight quantized =
        quantize_coded(c.format, "model.layers.0.mlp.up_proj.weight", matrix, workers);
    std::vector<ShardTensor> tensors;
    for (PackedPart& part : quantized.parts) tensors.push_back(shard_tensor(std::move(part)));
    write_shard(dir / "model.safetensors", std::move(tensors));
    const Model model = open_path(dir / "model.safetensors");
    ASSERT_EQ(model.weights.size(), 1u);
    EXPECT_EQ(model.weights[0].shape, (Shape{c.rows, c.cols}));
    EXPECT_EQ(values_digest(model, model.weights[0], workers), quantized.digest)
        << static_cast<int>(c.format.layout) << " bits " << c.format.bits;
  }
}

TEST(Layout, SaysWhatDoesNotFit) {
  EXPECT_EQ(unfit({Layout::kPacked, 4, 128}, 8, 172), "rows of 172 weights, no multiple of 128");
  EXPECT_EQ(unfit({Layout::kPacked, 8, 0}, 7, 171), "");
  EXPECT_EQ(unfit({Layout::kGptq, 4, 128}, 32, 100), "rows of 100 weights, no multiple of 32");
  EXPECT_EQ(unfit({Layout::kGptq, 4, 128}, 40, 128), "40 rows, no multiple of 32");
  EXPECT_EQ(unfit({Layout::kAwq, 4, 128}, 12, 128), "12 rows, no multiple of 8");
  EXPECT_EQ(unfit({Layout::kSpqr, 3, 16}, 16, 65552), "rows of 65552 weights, more than 65536");
  EXPECT_EQ(unfit({Layout::kFloat8, 8, 0}, 1, 0), "no weights");
}

// ---- rows coded as the vectors have them
// ---------------------------------------------------------

/// The case's W as a model of one float32 matrix.
class Coded {
 public:
  Coded(const std::string& name, const char* scheme)
      : vectors_(read_vectors(QI_TEST_DATA "/vectors/" + name + ".safetensors")) {
    const auto& w = vectors_.at("W");
    write_shard(dir_ / "w.safetensors",
                {{"m.weight", DType::kF32, w.shape, source_of_memory(w.bytes)}});
    const Model model = open_path(dir_ / "w.safetensors");
    const QuantScheme& table = *find_quant_scheme(scheme);
    const QuantizedWeight quantized =
        quantize_rows(table, layout_format(table, DType::kF32), model, model.weights[0], Workers());
    for (const PackedPart& part : quantized.parts) parts_[part.name] = part;
  }

  void expect_equal(const std::string& part, const std::string& expected) const {
    ASSERT_TRUE(parts_.contains(part));
    EXPECT_TRUE(parts_.at(part).bytes == vectors_.at("expected." + expected).bytes) << part;
  }
  const VectorTensors& vectors() const { return vectors_; }
  const PackedPart& part(const std::string& name) const { return parts_.at(name); }

 private:
  TempDir dir_;
  VectorTensors vectors_;
  std::map<std::string, PackedPart> parts_;
};

TEST(RowCoder, Float8CodesAreThoseOfTheVectors) {
  const Coded coded("fp8_w8a8_00", "FP8-W8A8");
  coded.expect_equal("m.weight", "w_codes");
  const auto scales = coded.vectors().at("expected.w_scale").as<float>();
  EXPECT_EQ(coded.part("m.weight_scale").shape, (Shape{scales.size(), 1}));
  coded.expect_equal("m.weight_scale", "w_scale");
}

TEST(RowCoder, Int8CodesAreThoseOfTheVectors) {
  for (const char* name : {"llm_int8_00", "llm_int8_01"}) {
    const Coded coded(name, "llm_int8");
    // Numbers become float16 first, as bitsandbytes has it, so that codes at a tie may be next to
    // the vectors', which are of float32.
    const auto want = coded.vectors().at("expected.cb").as<std::int8_t>();
    const auto* got = reinterpret_cast<const std::int8_t*>(coded.part("m.weight").bytes.data());
    std::size_t off = 0;
    for (std::size_t i = 0; i < want.size(); ++i) {
      EXPECT_LE(std::abs(want[i] - got[i]), 1);
      off += want[i] != got[i] ? 1 : 0;
    }
    EXPECT_LE(off, want.size() / 20);
    EXPECT_EQ(coded.part("m.weight_format").bytes, std::vector<std::byte>(1));
  }
}

TEST(RowCoder, NestedScalesAreThoseOfTheVectors) {
  const Coded coded("nf4_nested_00_b64", "nf4-nested");
  coded.expect_equal("m.weight", "packed");
  coded.expect_equal("m.weight.absmax", "absmax_q");
  coded.expect_equal("m.weight.nested_absmax", "nested_absmax");
}

TEST(RowCoder, RefusesWhatIsNotFinite) {
  const TempDir dir;
  std::vector<float> values(64 * 70, 1.0f);
  values[64 * 65 + 3] = -INFINITY;
  PartWriter part("model.layers.0.mlp.up_proj.weight", DType::kF32, {70, 64});
  std::copy(values.begin(), values.end(), part.at<float>(0));
  write_shard(dir / "w.safetensors", {shard_tensor(part.take())});
  const Model model = open_path(dir / "w.safetensors");
  for (const char* name : {"FP8-W8A8", "llm_int8", "nf4", "INT8-W8A16-RTN"}) {
    const QuantScheme& scheme = *find_quant_scheme(name);
    try {
      quantize_rows(scheme, layout_format(scheme, DType::kF32), model, model.weights[0], Workers());
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.code, ErrorCode::kBadValue);
      EXPECT_THAT(error.message, testing::HasSubstr("row 65, column 3"));
    }
  }
}

}  // namespace
}  // namespace qi
