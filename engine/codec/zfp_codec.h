// Rows of a matrix through libzfp: its fixed-rate, precision, tolerance and reversible modes, 1 to
// 4 dimensions, laid out as one field or as blocks of a row. A strip is one zfp stream of whole
// 64-bit words without a header: setting and shape are known. Refuses streams of another size
// (kCorrupt). Takes finite numbers only, but for reversible. A codec belongs to one thread.
// Fixed-rate blocks of float32 are decoded by zfp_blocks.h, which gives the same numbers sooner.
//
// field, of rows of C numbers, x fastest: 1-D R·C; 2-D (C, R); 3-D (C, 4, ⌈R/4⌉); 4-D (C, 4, 4,
// ⌈R/16⌉), missing rows repeat the last one. block: every 4^d numbers of a row are a block of their
// own; what is left of a row is a partial block of as many whole lines of 4 (planes of 16, …) as it
// begins, filled with its last number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace qi {

class ZfpBlocks;

enum class ZfpMode : std::uint8_t { kRate, kPrecision, kTolerance, kReversible };

struct ZfpSetting {
  int dims = 2;            // 1 … 4
  bool by_block = false;   // layout
  bool as_double = false;  // numbers are widened once more
  ZfpMode mode = ZfpMode::kRate;
  double value = 8;  // bits a number, bit planes, or largest error

  std::uint64_t block_numbers() const { return std::uint64_t{1} << (2 * dims); }
};

/// The lowest and highest rate that zfp takes for a setting without changing it.
struct ZfpRates {
  double low;
  double high;
};
ZfpRates zfp_rates(const ZfpSetting& setting);

class ZfpCodec {
 public:
  /// `setting` must be one that zfp takes. Throws kMemory.
  ZfpCodec(const ZfpSetting& setting, std::uint64_t cols);
  ~ZfpCodec();

  /// Streams of a multiple of so many rows put together are the stream of all rows; 0: there is no
  /// such number, because blocks vary in size.
  std::uint64_t strip_rows() const;
  /// Bytes of `rows` rows; only of a fixed rate.
  std::optional<std::uint64_t> strip_bytes(std::uint64_t rows) const;

  /// in: [rows × cols]; the stream replaces what `out` holds.
  void encode(std::uint64_t rows, const float* in, std::vector<std::byte>& out);
  void decode(std::span<const std::byte> coded, std::uint64_t rows, float* out);

 private:
  struct Stream;
  /// Memory that is not touched before it is used: such streams may be far shorter than they could.
  struct Words {
    std::unique_ptr<std::uint64_t[]> words;
    std::uint64_t size_bytes = 0;
    std::byte* of_size(std::uint64_t bytes);
  };
  std::uint64_t blocks(std::uint64_t rows) const;
  std::uint64_t filled_rows(std::uint64_t rows) const;
  std::uint64_t largest_bytes(std::uint64_t rows) const;

  ZfpSetting setting_;
  std::uint64_t cols_;
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<ZfpBlocks> own_decoder_;  // made when it is first needed
  std::vector<float> floats_;
  std::vector<double> doubles_;
  Words words_;  // a stream of a size that only coding tells
};

}  // namespace qi
