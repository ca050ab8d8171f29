// The families that need a calibration text (gptq, awq, smoothquant, spqr): their parameters read
// as options of their solvers. Keys of the calibration itself ("calibration", "model") may stand
// beside them and are passed over. Refuse what expand() would not give (kUsage).
// Pure functions, any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "engine/calibrated/awq_search.h"
#include "engine/calibrated/gptq_solver.h"
#include "engine/calibrated/smoothing.h"
#include "engine/calibrated/spqr_solver.h"
#include "engine/methods/method.h"

namespace qi {

// Words of parameters, and of the options that give them.
inline constexpr std::array<std::string_view, 2> kNoOrYes = {"no", "yes"};
inline constexpr std::array<std::string_view, 2> kGptqStyles = {"minmax", "full"};
inline constexpr std::array<std::string_view, 2> kSmoothings = {"absmax", "range"};
inline constexpr std::array<std::string_view, 2> kSmoothGrids = {"restricted", "full"};
inline constexpr std::array<std::string_view, 3> kColumnOrders = {"identity", "act_order",
                                                                  "spearman"};
inline constexpr std::uint64_t kLargestColumnGroup = std::uint64_t{1} << 32;

GptqOptions gptq_options(const Params& params);
AwqOptions awq_options(const Params& params);
SmoothOptions smoothquant_options(const Params& params);
SpqrOptions spqr_options(const Params& params);

/// Bytes of a matrix that one of these families has coded, as a checkpoint has them.
std::uint64_t calibrated_bytes(const MethodConfig& config, const MatrixInfo& matrix,
                               std::uint64_t outliers);

}  // namespace qi
