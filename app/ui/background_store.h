// Encoding a model into a container and decoding one, in the background, on the shared job queue:
// each is a job of one unit that uses as many threads as it is given. What was written is told when
// it has its name. Outlives the model: closing it does not stop what runs. Members are called on
// the UI thread.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/codec/plane_codec.h"
#include "engine/io/error.h"
#include "engine/jobs/job_queue.h"
#include "engine/tensor/model.h"

namespace qi {

/// What --encode is told on the command line.
struct EncodeOrder {
  std::string output;            // ends in .qstore
  std::vector<std::string> low;  // paths, "int8", or "gptq:BITS:GROUP"
  std::string calibration;       // what gptq looks at: a text, or token ids
  PlaneEffort effort = PlaneEffort::kFast;
  bool overwrite = false;
};
/// "m.qstore --low gptq:4:128 --calibration a.txt --effort ratio", as the command line of the UI
/// has it. Throws kUsage.
EncodeOrder parse_encode(std::string_view argument);

struct DecodeOrder {
  std::string folder;
  std::string level = "high";
};
/// "folder --level int8". Throws kUsage.
DecodeOrder parse_decode(std::string_view argument);

class BackgroundStore {
 public:
  struct Result {
    std::optional<Error> error;
    std::string text;                // raw; what was done
    std::vector<std::string> notes;  // raw
    std::vector<Warning> warnings;
  };

  /// `queue` must outlive this.
  explicit BackgroundStore(JobQueue& queue) : queue_(queue), state_(std::make_shared<State>()) {}

  /// Throws what can be seen before anything is read: a name that is taken, a level that is not
  /// there.
  void encode(const std::shared_ptr<const Model>& model, EncodeOrder order,
              std::optional<DType> prototype_dtype);
  void decode(const std::shared_ptr<const Model>& model, DecodeOrder order);
  /// What ended since the last call; nothing comes of what was cancelled but its job's state.
  std::vector<Result> take();
  /// The job that runs, the latest first.
  std::optional<JobSnapshot> running() const;

 private:
  struct State {
    std::mutex mutex;
    std::vector<Result> results;
  };
  template <typename Work>
  void submit(std::string name, std::string label, std::uint64_t bytes, Work work);

  JobQueue& queue_;
  const std::shared_ptr<State> state_;  // outlives this while a unit still runs
  std::vector<JobId> jobs_;
};

}  // namespace qi
