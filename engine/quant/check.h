// Looks through the payload of one quantized weight for what its scheme forbids or what is odd
//: the part of --verify that knows schemes.
// Finds, never throws, for anything a file contains; only running failures (kIo, kChanged, kMemory)
// come out as Error. Bounded memory. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/tensor/model.h"

namespace qi {

/// One finding. Several equal ones of a part are counted in one.
struct WeightFault {
  enum class Severity : std::uint8_t { kError, kNote };

  Severity severity = Severity::kError;
  ErrorCode code = ErrorCode::kBadValue;
  std::string file;          // raw path
  std::string part;          // raw name of the stored tensor
  std::uint64_t offset = 0;  // absolute in `file`, of the first occurrence
  std::uint64_t length = 0;  // bytes of that occurrence
  std::string message;
};

/// Errors: indices, offsets, states and shapes that cannot be decoded; scales that are NaN or
/// infinite (also E8M0's 255); integer zero points outside their range.
/// Notes: scales that are zero or negative, NaN codes among 8-bit floats, a lookup table that is
/// not the one its type names. Plain and undecodable weights have none.
std::vector<WeightFault> check_weight(const Model& model, const Weight& weight);

}  // namespace qi
