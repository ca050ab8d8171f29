// What GPTQ and SpQR tell of a matrix beside its codes. Plain data.
#pragma once

#include <string>

namespace qi {

/// What a solver has to say beside its codes.
struct SolverReport {
  double loss = 0;       // ½ Σ of squared column errors over U's diagonal, as upstream prints it
  double damping = 0;    // percdamp that the factorization needed
  std::string warning;   // empty: all as asked
  bool rounded = false;  // there was no factor: rounded to the nearest
};

}  // namespace qi
