#include "engine/codec/huff0.h"

#include <array>
#include <cassert>
#include <cstdint>
#include <cstring>
#include <new>

#include <zstd.h>

namespace qi {
namespace {

// RFC 8878, 3.1.1: magic; descriptor without checksum, dictionary or content size; a window of
// 2^18 bytes, so that the block may have its full 128 KiB.
constexpr std::array<std::uint8_t, 6> kFrameHead = {0x28, 0xB5, 0x2F, 0xFD, 0x00, 8 << 3};
constexpr std::size_t kBlockHeadBytes = 3;
constexpr std::size_t kLiteralsHeadBytes = 5;
constexpr std::size_t kOverheadBytes = kFrameHead.size() + kBlockHeadBytes + kLiteralsHeadBytes + 1;

void put_little_endian(std::byte* out, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) out[i] = static_cast<std::byte>(value >> (8 * i));
}

/// RFC 8878, 4.2: each of the four streams is read backwards from a set bit in its last byte. The
/// library's fast loop takes a stream without that bit, so it is looked for here.
bool has_end_marks(std::span<const std::byte> payload) {
  const auto u8 = [&](std::size_t i) { return static_cast<std::size_t>(payload[i]); };
  // 4.2.1.1: direct weights, two a byte, or that many bytes of FSE.
  const std::size_t head = u8(0);
  const std::size_t tree_bytes = 1 + (head >= 128 ? (head - 127 + 1) / 2 : head);
  constexpr std::size_t kJumpBytes = 6;
  if (payload.size() < tree_bytes + kJumpBytes) return false;
  std::size_t end = tree_bytes + kJumpBytes;
  for (std::size_t stream = 0; stream < 4; ++stream) {
    const std::size_t at = tree_bytes + 2 * stream;
    const std::size_t begin = end;
    end = stream < 3 ? begin + (u8(at) | u8(at + 1) << 8) : payload.size();
    if (end <= begin || end > payload.size() || u8(end - 1) == 0) return false;
  }
  return true;
}

}  // namespace

void Huff0Decoder::Free::operator()(ZSTD_DCtx_s* context) const {
  ZSTD_freeDCtx(context);
}

Huff0Decoder::Huff0Decoder() : context_(ZSTD_createDCtx()) {
  if (context_ == nullptr) throw std::bad_alloc();
}
Huff0Decoder::~Huff0Decoder() = default;
Huff0Decoder::Huff0Decoder(Huff0Decoder&&) noexcept = default;

bool Huff0Decoder::decode(std::span<const std::byte> payload, std::span<std::byte> out) {
  assert(out.size() <= kHuff0BlockBytes);
  if (payload.empty() || payload.size() > out.size()) return false;
  if (payload.size() == out.size()) {
    std::memcpy(out.data(), payload.data(), out.size());
    return true;
  }
  if (payload.size() == 1) {
    std::memset(out.data(), static_cast<int>(payload[0]), out.size());
    return true;
  }
  if (!has_end_marks(payload)) return false;

  frame_.resize(payload.size() + kOverheadBytes);
  std::byte* at = frame_.data();
  std::memcpy(at, kFrameHead.data(), kFrameHead.size());
  at += kFrameHead.size();
  const std::uint64_t block_bytes = kLiteralsHeadBytes + payload.size() + 1;
  put_little_endian(at, 1 | 2 << 1 | block_bytes << 3, kBlockHeadBytes);  // last, compressed
  at += kBlockHeadBytes;
  // Literals: compressed (2), four streams with sizes of 18 bits (3); then both sizes.
  put_little_endian(at,
                    2 | 3 << 2 | static_cast<std::uint64_t>(out.size()) << 4 |
                        static_cast<std::uint64_t>(payload.size()) << 22,
                    kLiteralsHeadBytes);
  at += kLiteralsHeadBytes;
  std::memcpy(at, payload.data(), payload.size());
  at[payload.size()] = std::byte{0};  // no sequences
  const std::size_t size =
      ZSTD_decompressDCtx(context_.get(), out.data(), out.size(), frame_.data(), frame_.size());
  return ZSTD_isError(size) == 0 && size == out.size();
}

}  // namespace qi
