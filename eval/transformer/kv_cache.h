// Keys and values of the positions seen so far, layer by layer, as float32 or binary16. Made with
// room for all positions; refuses none beyond it (a bug of the caller). Written by one thread, then
// read by several.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/io/file.h"
#include "engine/matrix/blas.h"
#include "eval/transformer/architecture.h"

namespace qi {

enum class KvType : std::uint8_t { kF32, kF16 };
enum class KvLayers : std::uint8_t {
  kAll,      // positions can be added again and again
  kCurrent,  // of the layer that is being computed alone: for a window that is run once
};

class KvCache {
 public:
  KvCache(const Architecture& architecture, std::size_t positions, KvType type, KvLayers layers);

  /// Positions that are there in every layer.
  std::size_t size() const { return size_; }
  std::size_t room() const { return positions_; }
  void clear() { size_ = 0; }
  /// Forgets all positions but the first `count`, of which there are at least so many.
  void truncate(std::size_t count) { size_ = count; }

  /// Keys and values [count, kv_heads · head_dim] of positions size() + i.
  void store(std::size_t layer, std::size_t count, const float* keys, const float* values);
  /// All layers have `count` positions more.
  void advance(std::size_t count) { size_ += count; }

  /// Of one head, positions [first, first + count): where they are, or converted into `scratch`.
  MatrixView keys(std::size_t layer, std::size_t head, std::size_t first, std::size_t count,
                  std::vector<float>& scratch) const;
  MatrixView values(std::size_t layer, std::size_t head, std::size_t first, std::size_t count,
                    std::vector<float>& scratch) const;

 private:
  struct Slot {
    std::vector<float> floats;  // either of them
    Buffer halves;
  };
  void put(Slot& slot, std::size_t count, const float* numbers) const;
  MatrixView view(const Slot& slot, std::size_t head, std::size_t first, std::size_t count,
                  std::vector<float>& scratch) const;

  std::size_t positions_, width_, head_dim_, size_ = 0;
  KvType type_;
  std::vector<Slot> keys_, values_;  // one a layer, or one alone
};

}  // namespace qi
