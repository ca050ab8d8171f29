// What is known of one weight, in the words of the Weight screen and of the Model screen's detail:
// facts in a line, moments, the bars of the entropy waterfall, the table that is exported. Pure
// functions, any thread; everything they return is printable.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/format/qstore_facts.h"
#include "engine/stats/weight_details.h"
#include "engine/tensor/model.h"
#include "views/canvas.h"
#include "views/glyphs.h"
#include "views/text_table.h"

namespace qi {

/// A label and its value, drawn dim and plain.
struct Fact {
  std::string label;
  std::string value;
};

/// Bits per weight under one way of coding.
struct BitsBar {
  std::string label;
  double bits = 0;
  Ink ink = Ink::kAccent;
  std::string note;
};

/// The file's own name, and where the weight's first tensor begins: "model.safetensors @ 4 096".
std::string place_text(const Model& model, const Weight& weight);
/// Shape, parameters, role, scheme, size: in at most `most` lines of `room` cells.
std::vector<std::string> fact_lines(const Model& model, const Weight& weight, int room, int most,
                                    const Glyphs& glyphs);
/// min … inf, in order of interest.
std::vector<Fact> moment_facts(const Statistics& statistics, const Glyphs& glyphs);
/// Every column of --stats that has a value.
std::vector<Fact> all_facts(const Statistics& statistics, const Glyphs& glyphs);

/// Whether its stored numbers have an exponent to code; codes of quantized weights are coded whole.
bool has_exponent(const Model& model, const Weight& weight);
/// "pair, 1.20 MiB in 24 blocks, checksums right, 17 escapes": how a tensor is stored in a
/// container.
std::string stored_text(const StoredPart& part);

/// From the bits as stored down to what is left of the 16-bit value when its int8 version is known.
/// `details`: nullptr while they are not counted.
std::vector<BitsBar> waterfall(const Model& model, const Weight& weight,
                               const Statistics& statistics, const WeightDetails* details,
                               std::span<const StoredPart> stored = {});

/// Stored bits a weight of all parts that scale it, and of its zero points; 0: none, or not apart.
double scale_bits(const Model& model, const Weight& weight);
double zero_bits(const Model& model, const Weight& weight);

/// Everything above with exact numbers, outliers and row errors too; either may be nullptr.
TextTable facts_table(const Model& model, const Weight& weight, const Statistics* statistics,
                      const WeightDetails* details, std::span<const StoredPart> stored = {});

/// Where the same weight of the nearest layer before (step −1) or after (+1) is: the same name but
/// for the layer's number, else the same role and expert. `weight` itself when there is none.
std::size_t neighbour(const Model& model, std::size_t weight, int step);

}  // namespace qi
