// zstd frames of a container: contexts that are kept from one block to the next, and decoding into
// a size that is known beforehand. Throws kMemory alone; one thread at a time.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace qi {

class ZstdPacker {
 public:
  ZstdPacker();
  /// A frame of `bytes`, valid until the next call.
  std::span<const std::byte> pack(std::span<const std::byte> bytes, int level);

 private:
  struct Free {
    void operator()(ZSTD_CCtx_s* context) const;
  };
  std::unique_ptr<ZSTD_CCtx_s, Free> context_;
  std::vector<std::byte> out_;
};

class ZstdUnpacker {
 public:
  ZstdUnpacker();
  /// False unless `frame` is one frame of exactly out.size() bytes.
  [[nodiscard]] bool unpack(std::span<const std::byte> frame, std::span<std::byte> out);

 private:
  struct Free {
    void operator()(ZSTD_DCtx_s* context) const;
  };
  std::unique_ptr<ZSTD_DCtx_s, Free> context_;
};

}  // namespace qi
