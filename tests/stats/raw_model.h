// A model of one weight whose stored bytes are given, in a file of its own, and readers of it: what
// tests of the analysis feed it with. The file is removed with the model.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "engine/stats/statistics.h"
#include "engine/tensor/numbers.h"
#include "tests/support/trained_like.h"

namespace qi::testing_support {

struct RawModel {
  Model model;
  std::string path;

  RawModel(DType dtype, Shape shape, const std::vector<std::byte>& bytes,
           Scheme scheme = Scheme::kNone) {
    static std::atomic<int> number{0};
    path =
        testing::TempDir() + "/qi_raw_" + std::to_string(getpid()) + "_" + std::to_string(number++);
    std::FILE* file = std::fopen(path.c_str(), "wb");
    // An offset that is not a multiple of the number size: nothing may rely on alignment.
    std::fwrite("pad", 1, kOffset, file);
    if (!bytes.empty()) std::fwrite(bytes.data(), 1, bytes.size(), file);
    std::fclose(file);
    model.files.push_back(File::open(path));
    model.tensors.push_back({"w", {}, shape, kOffset, bytes.size(), 0, dtype});
    Weight weight;
    weight.name = "w";
    weight.shape = shape;
    weight.params = *element_count(shape);
    weight.size_bytes = bytes.size();
    weight.scheme = scheme;
    weight.parts.push_back({0, PartRole::kCodes});
    model.weights.push_back(weight);
  }
  ~RawModel() { std::remove(path.c_str()); }
  RawModel(const RawModel&) = delete;
  RawModel& operator=(const RawModel&) = delete;

  const Weight& weight() const { return model.weights[0]; }

  static constexpr std::uint64_t kOffset = 3;
};

/// Plain numbers through stored(), or (direct = false) only through codes() and values().
class RawReader : public WeightReader {
 public:
  RawReader(const RawModel& raw, bool direct)
      : WeightReader(raw.model, raw.weight()),
        dtype_(raw.model.tensors[0].dtype),
        direct_(direct) {}

  int code_bits() const override { return element_bits(dtype_) <= 16 ? element_bits(dtype_) : 0; }
  std::span<const std::byte> stored(std::uint64_t first, std::uint64_t count) override {
    if (!direct_) return {};
    return bytes(first, count);
  }

 protected:
  void read_values(const Tile& tile, float* out) override {
    for (std::uint64_t r = 0; r < tile.rows; ++r) {
      const auto in = bytes((tile.row + r) * weight_.cols() + tile.col, tile.cols);
      to_floats_plain(dtype_, in.data(), tile.cols, false, out + r * tile.cols);
    }
  }
  void read_codes(const Tile& tile, std::uint16_t* out) override {
    const std::size_t width = static_cast<std::size_t>(element_bits(dtype_)) / 8;
    for (std::uint64_t r = 0; r < tile.rows; ++r) {
      const auto in = bytes((tile.row + r) * weight_.cols() + tile.col, tile.cols);
      for (std::uint64_t c = 0; c < tile.cols; ++c) {
        std::uint16_t code = 0;
        std::memcpy(&code, in.data() + c * width, width);
        out[r * tile.cols + c] = code;
      }
    }
  }

 private:
  std::span<const std::byte> bytes(std::uint64_t first, std::uint64_t count) {
    const auto width = static_cast<std::uint64_t>(element_bits(dtype_)) / 8;
    return model_.files[0]->bytes(RawModel::kOffset + first * width,
                                  static_cast<std::size_t>(count * width), scratch_);
  }

  DType dtype_;
  bool direct_;
  Buffer scratch_;
};

/// Codes of a given width with one scale: stands for a quantization scheme.
class ScaledCodeReader : public WeightReader {
 public:
  ScaledCodeReader(const RawModel& raw, float scale)
      : WeightReader(raw.model, raw.weight()), scale_(scale) {}
  int code_bits() const override { return 8; }

 protected:
  void read_values(const Tile& tile, float* out) override {
    each(tile, [&](std::uint64_t i, std::uint8_t code) {
      out[i] = scale_ * static_cast<float>(static_cast<std::int8_t>(code));
    });
  }
  void read_codes(const Tile& tile, std::uint16_t* out) override {
    each(tile, [&](std::uint64_t i, std::uint8_t code) { out[i] = code; });
  }

 private:
  template <typename F>
  void each(const Tile& tile, const F& f) {
    std::uint64_t i = 0;
    for (std::uint64_t r = 0; r < tile.rows; ++r) {
      const auto in = model_.files[0]->bytes(
          RawModel::kOffset + (tile.row + r) * weight_.cols() + tile.col, tile.cols, scratch_);
      for (const std::byte b : in) f(i++, std::to_integer<std::uint8_t>(b));
    }
  }
  float scale_;
  Buffer scratch_;
};

inline Statistics analyse_raw(const RawModel& raw, AnalyseOptions options = {},
                              bool direct = true) {
  return analyse(
      raw.model, raw.weight(), [&] { return std::make_unique<RawReader>(raw, direct); }, options);
}

template <typename T>
std::vector<std::byte> bytes_of(const std::vector<T>& numbers) {
  std::vector<std::byte> bytes(numbers.size() * sizeof(T));
  if (!bytes.empty()) std::memcpy(bytes.data(), numbers.data(), bytes.size());
  return bytes;
}

inline std::vector<std::uint16_t> to_words(DType dtype, const std::vector<float>& values) {
  std::vector<std::uint16_t> words(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    words[i] = dtype == DType::kBF16 ? float_to_bf16(values[i]) : float_to_f16(values[i]);
  }
  return words;
}

}  // namespace qi::testing_support
