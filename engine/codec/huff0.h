// Decodes Huff0 blocks (the four-stream Huffman literals of RFC 8878 without their header) by
// handing them to libzstd inside a frame of one compressed block whose sequences section is empty.
// Safe on any input; owns a zstd context and scratch: one thread at a time.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

struct ZSTD_DCtx_s;

namespace qi {

/// Bytes of the largest block before compression.
inline constexpr std::size_t kHuff0BlockBytes = 131072;

class Huff0Decoder {
 public:
  Huff0Decoder();
  ~Huff0Decoder();
  Huff0Decoder(Huff0Decoder&&) noexcept;

  /// Fills `out` from `payload`: one byte is a run of it, as many as `out` are raw, anything else
  /// is coded. False when it does not decode to exactly out.size() ≤ kHuff0BlockBytes bytes.
  [[nodiscard]] bool decode(std::span<const std::byte> payload, std::span<std::byte> out);

 private:
  struct Free {
    void operator()(ZSTD_DCtx_s* context) const;
  };
  std::unique_ptr<ZSTD_DCtx_s, Free> context_;
  std::vector<std::byte> frame_;
};

}  // namespace qi
