// Builds model folders as people have them, sparsely: headers, indexes and configurations are real,
// the payload is a hole of the right size, so that a 400 GB checkpoint takes a few megabytes.
// Shapes and names are those of the public models. Writes JSON with code of its own, so that the
// program's writer is not its own judge. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace qi::test {

struct TensorSpec {
  std::string name;
  std::string dtype;  // a safetensors word
  std::vector<std::uint64_t> shape;
};

/// Bytes of the tensor's payload; throws std::invalid_argument for an unknown word.
std::uint64_t payload_bytes(const TensorSpec& spec);

/// What a builder wrote, for tests to hold the reader against.
struct BuiltModel {
  std::uint64_t tensors = 0;
  std::uint64_t payload_bytes = 0;
  std::uint64_t header_bytes = 0;  // of all headers, indexes and configurations
  std::uint64_t files = 0;         // with weights

  BuiltModel& operator+=(const BuiltModel& other);
};

/// One safetensors file with a hole for payload.
BuiltModel write_sparse_safetensors(const std::string& path, const std::vector<TensorSpec>& specs);

/// The tensors in order over `shards` files of about equal size, with an index.
BuiltModel write_sharded(const std::string& folder, const std::vector<TensorSpec>& specs,
                         std::size_t shards);

// Each writes one folder (which must exist).
BuiltModel build_llama3_8b(const std::string& folder);     // BF16, four shards
BuiltModel build_qwen2_05b(const std::string& folder);     // one file, tied embeddings, biases
BuiltModel build_deepseek_v3(const std::string& folder);   // FP8 blocks, 61 layers of 256 experts
BuiltModel build_gpt_oss_20b(const std::string& folder);   // MXFP4 stacks
BuiltModel build_gguf_quants(const std::string& folder);   // one model in twelve GGUF types
BuiltModel build_lora_adapter(const std::string& folder);  // rank 16 on q and v
BuiltModel build_llava(const std::string& folder);         // vision tower, projector, text model
BuiltModel build_llama3_405b_fp8(const std::string& folder);  // 109 shards, over 400 GB

/// `tensors` tensors of a few bytes in one file.
BuiltModel build_many_tensors(const std::string& path, std::uint64_t tensors);
/// `tensors` equal matrices that fill `bytes` together.
BuiltModel build_large_file(const std::string& path, std::uint64_t tensors, std::uint64_t bytes);

}  // namespace qi::test
