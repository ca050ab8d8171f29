// The rows of weights that modes yield: columns and cells of --list, --stats, --verify and --diff,
// and the line above a person's table. The one place that says what a column holds.
// Pure functions, any thread.
#pragma once

#include <span>
#include <string>

#include "app/rows.h"
#include "engine/format/qstore_chain_facts.h"
#include "engine/stats/statistics.h"
#include "engine/tensor/model.h"

namespace qi {

std::span<const Column> list_columns();
/// Those of --list, then `weight` and `part`: which weight the stored tensor belongs to, as what.
std::span<const Column> parts_columns();
/// Those of --list, then every column of the statistics; with `container` then container_columns().
std::span<const Column> stats_columns(bool container = false);
/// What only weights in a container have.
std::span<const Column> container_columns();
std::span<const Column> verify_columns();
std::span<const Column> diff_columns();

/// Makes `row` the cells of list_columns(). Its texts are mostly the model's own.
void list_row(const Model& model, const Weight& weight, Row& row);
/// Makes `row` the cells of parts_columns() for a part's stored tensor, in the same way.
void part_row(const Model& model, const Weight& weight, const Part& part, Row& row);
/// Appends the statistics; all empty for nullptr.
void append_statistics(Row& row, const Statistics* statistics);

/// Appends the cells of container_columns().
void append_container(Row& row, const Weight& weight, const Statistics* statistics,
                      const ChainFacts& chain);

/// The word of a part's role: "codes", "scales".
std::string_view part_word(PartRole role);

/// "Llama-3.1-8B  291 weights · 8.03 B params · 14.96 GiB · 16.00 b/w · safetensors ·
/// LlamaForCausalLM", printable; adapters, projectors and importance matrices say what they are.
std::string model_line(const Model& model, bool ascii);

/// The last component of a path, as the file column shows it.
std::string_view file_name(std::string_view path);

}  // namespace qi
