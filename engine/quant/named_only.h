// Schemes that are recognised and listed but not decoded: HQQ, AQLM, QuIP#, VPTQ, EXL2, EXL3, EETQ,
// quanto, BitNet, Quark, torchao, Marlin, QQQ, BitBLAS, sparse compressed-tensors.
// One table of their stored parts. Used while grouping, one thread.
#pragma once

#include "engine/quant/grouping.h"

namespace qi {

/// True when the name of tensor `codes` ends as the codes of one of these schemes and its
/// companions are there: adds one undecodable weight of them all.
bool build_named_only(Grouping& grouping, std::uint32_t codes);

}  // namespace qi
