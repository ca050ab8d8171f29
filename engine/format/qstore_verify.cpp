#include "engine/format/qstore_verify.h"

#include <memory>
#include <vector>

#include <fmt/format.h>

#include "engine/format/ordered_work.h"
#include "engine/format/qstore_digest.h"

namespace qi {
namespace {

struct VerifyCancelled {};

class Verifier {
 public:
  Verifier(const QstoreContainer& container, const VerifyOptions& options,
           const std::function<void(const ContainerFault&)>& report)
      : container_(container),
        options_(options),
        report_(report),
        threads_(thread_count(options.threads)) {}

  bool run() {
    const auto& streams = container_.index().streams;
    const std::vector<bool> wanted = selected();
    for (std::uint32_t i = 0; i < streams.size(); ++i) {
      if (!wanted[i]) continue;
      total_ += streams[i].size_bytes;
      for (std::uint32_t k = 0; k < streams[i].blocks.size(); ++k) items_.push_back({i, k});
    }
    try {
      check_blocks();
    } catch (const VerifyCancelled&) {
      return false;
    }
    container_.file().check_unchanged();
    return true;
  }

 private:
  struct Item {
    std::uint32_t stream;
    std::uint32_t block;
  };
  struct Slot {
    std::optional<Error> error;
    Buffer bytes;
  };

  std::vector<bool> selected() const {
    std::vector<bool> wanted(container_.index().streams.size(), !options_.selection);
    if (!options_.selection) return wanted;
    for (const QstoreLevel& level : container_.index().levels) {
      for (const QstoreFile& file : level.files) {
        for (const QstoreSegment& segment : file.segments) {
          if (options_.selection(segment.name)) wanted[segment.stream] = true;
        }
      }
    }
    return wanted;
  }

  void check_blocks() {
    struct Worker {
      explicit Worker(const QstoreContainer& of) : reader(of) {}
      QstoreReader reader;
      Buffer scratch;
    };
    std::vector<std::unique_ptr<Worker>> workers(threads_);
    std::vector<Slot> slots(ordered_slots(threads_));
    OrderedWork work;
    work.produce = [&](unsigned number, std::size_t item, std::size_t slot) {
      auto& worker = workers[number];
      if (worker == nullptr) worker = std::make_unique<Worker>(container_);
      const Item at = items_[item];
      const QstoreStream& stream = container_.index().streams[at.stream];
      slots[slot].error.reset();
      try {
        container_.stored(at.stream, at.block, worker->scratch);
        if (options_.checksums_only) return;
        slots[slot].bytes.resize(static_cast<std::size_t>(stream.block_bytes(at.block)));
        worker->reader.read_block(at.stream, at.block, slots[slot].bytes);
      } catch (const Error& error) {
        if (exit_status(error.code) != 2) throw;
        slots[slot].error = error;
      }
    };
    DigestState digest;
    bool sound = true;  // the stream's blocks so far
    work.consume = [&](std::size_t item, std::size_t slot) {
      if (options_.cancel != nullptr && options_.cancel->load(std::memory_order_relaxed)) {
        throw VerifyCancelled{};
      }
      const Item at = items_[item];
      const QstoreStream& stream = container_.index().streams[at.stream];
      if (slots[slot].error) {
        sound = false;
        report_block(at, *slots[slot].error);
      } else if (!options_.checksums_only) {
        digest.add(slots[slot].bytes);
      }
      done_ += stream.block_bytes(at.block);
      if (options_.progress) options_.progress(done_, total_);
      if (at.block + 1 != stream.blocks.size()) return;
      if (sound && !options_.checksums_only && !(digest.value() == stream.digest)) {
        report_digest(at.stream);
      }
      digest.reset();
      sound = true;
    };
    run_ordered(items_.size(), threads_, work);
  }

  ContainerFault fault_of(std::uint32_t stream) const {
    const QstoreContainer::Subject& subject = container_.subject(stream);
    ContainerFault fault;
    fault.tensor = subject.tensor;
    fault.part = fmt::format("{}/{}", subject.level, subject.file);
    return fault;
  }

  void report_block(Item at, const Error& error) {
    const QstoreBlock& block = container_.index().streams[at.stream].blocks[at.block];
    ContainerFault fault = fault_of(at.stream);
    fault.code = error.code;
    fault.block = at.block;
    fault.offset = block.offset;
    fault.length = block.stored_bytes;
    // Codes and scales of a pair, or a base, are at fault elsewhere.
    const bool own = error.file == container_.file().path() && error.offset == block.offset;
    fault.message = own ? error.message : "stands on damage elsewhere: " + error.message;
    report_(fault);
  }

  void report_digest(std::uint32_t number) {
    const QstoreStream& stream = container_.index().streams[number];
    ContainerFault fault = fault_of(number);
    fault.offset = stream.blocks.front().offset;
    fault.length = stream.stored_bytes();
    fault.message = fmt::format("digest of {} is wrong", container_.subject(number).text());
    report_(fault);
  }

  const QstoreContainer& container_;
  const VerifyOptions& options_;
  const std::function<void(const ContainerFault&)>& report_;
  const unsigned threads_;
  std::vector<Item> items_;
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;
};

}  // namespace

bool verify_container(const QstoreContainer& container, const VerifyOptions& options,
                      const std::function<void(const ContainerFault&)>& report) {
  return Verifier(container, options, report).run();
}

}  // namespace qi
