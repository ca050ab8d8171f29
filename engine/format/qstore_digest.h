// XXH3-128 of bytes that come in pieces. Owns the hash's state; one thread at a time.
#pragma once

#include <memory>
#include <new>
#include <span>

#include "engine/format/qstore_format.h"
#include "engine/io/xxh3.h"

namespace qi {

class DigestState {
 public:
  DigestState() : state_(XXH3_createState()) {
    if (state_ == nullptr) throw std::bad_alloc();
    reset();
  }
  void reset() { XXH3_128bits_reset(state_.get()); }
  void add(std::span<const std::byte> bytes) {
    XXH3_128bits_update(state_.get(), bytes.data(), bytes.size());
  }
  QstoreDigest value() const {
    const XXH128_hash_t hash = XXH3_128bits_digest(state_.get());
    return {hash.low64, hash.high64};
  }

 private:
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> state_;
};

}  // namespace qi
