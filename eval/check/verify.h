// Looks for faults in one weight: reads every byte of it, through the decoder where there is one,
// and through the checks that its scheme or container knows. Owns the faults of --verify and of
// the Verify screen. Bounded memory. Any thread; the model must outlive the call.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tensor/model.h"

namespace qi {

/// One thing wrong; texts are raw.
struct Fault {
  std::string file;    // path
  std::string tensor;  // name of the weight; empty: of the file as a whole
  ErrorCode code = ErrorCode::kCorrupt;
  std::string part;
  std::optional<std::uint64_t> block;
  std::optional<std::uint64_t> offset;  // absolute in `file`, bytes
  std::optional<std::uint64_t> length;  // bytes
  std::string message;
  bool odd_only = false;  // a warning, not a fault
};

/// Whether an error says something of the file (else of this run: I/O, memory, a file that
/// changed).
bool is_fault(ErrorCode code);
Fault fault_of(const Error& error, const std::string& tensor, std::string part);

/// Faults of `weight` in the order they were found; nothing when cancelled. `progress` is told
/// stored bytes as they are done, in sum at most Weight::size_bytes; may be empty. Throws errors
/// of the run, kChanged when a file of the weight changed since it was opened.
std::optional<std::vector<Fault>> verify_weight(
    const Model& model, const Weight& weight, const std::atomic<bool>* cancel,
    const std::function<void(std::uint64_t bytes)>& progress = {});

/// What verify_weight() cannot tell of this container, one sentence; empty: nothing.
std::string_view unchecked_remark(Container container);

/// Throws kChanged when a file of the weight changed since it was opened.
void check_files_unchanged(const Model& model, const Weight& weight);

}  // namespace qi
