// How a weight reads in few cells: its name, its scheme, its size, and the bits per weight that
// follow from its statistics. Everything from files comes out printable. Pure functions, any
// thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/stats/statistics.h"
#include "engine/tensor/model.h"

namespace qi {

/// A name as shown, printable, at one of four lengths: 0 whole, 1 without ".weight", 2 without
/// "model." too, 3 without "layers." or "blk." too.
std::string shown_name(std::string_view name, int level);

/// "BF16", "Q4_K", "gptq 4b g128": what a weight is stored as, in few cells.
std::string scheme_label(const Model& model, const Weight& weight);
/// "gptq, 4-bit, groups of 128, asymmetric, act-order, scales F16": the same in full.
std::string scheme_sentence(const Model& model, const Weight& weight);

/// Bits per weight after coding: exponent coded and the rest raw (the plane codec), the 16-bit
/// values together with their int8 version (the pair codec), and general compressors. Negative: not
/// known.
double planes_bits(const Weight& weight, const Statistics& statistics);
double pair_bits(const Weight& weight, const Statistics& statistics);
double zstd_bits(const Weight& weight, const Statistics& statistics);
double lz4_bits(const Weight& weight, const Statistics& statistics);

/// "1002M", "15.0G", "512": at most five cells.
std::string compact_bytes(std::uint64_t size_bytes);

}  // namespace qi
