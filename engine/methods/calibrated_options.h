// The families that need a calibration text (gptq, awq, smoothquant, spqr): their parameters read
// as options of their solvers. Keys of the calibration itself ("calibration", "model") may stand
// beside them and are passed over. Refuse what expand() would not give (kUsage).
// Pure functions, any thread.
#pragma once

#include <cstdint>

#include "engine/calibrated/awq_search.h"
#include "engine/calibrated/gptq_solver.h"
#include "engine/calibrated/smoothing.h"
#include "engine/calibrated/spqr_solver.h"
#include "engine/methods/method.h"

namespace qi {

GptqOptions gptq_options(const Params& params);
AwqOptions awq_options(const Params& params);
SmoothOptions smoothquant_options(const Params& params);
SpqrOptions spqr_options(const Params& params);

/// Bytes of a matrix that one of these families has coded, as a checkpoint has them.
std::uint64_t calibrated_bytes(const MethodConfig& config, const MatrixInfo& matrix,
                               std::uint64_t outliers);

}  // namespace qi
