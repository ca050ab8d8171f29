#include "app/ui/library.h"

#include <chrono>
#include <optional>

#include "eval/results/results_db.h"

namespace qi {
namespace {

constexpr std::size_t kBatch = 256;  // results handed over at a time
constexpr auto kGather =
    std::chrono::seconds(1);  // results that come together are written together

}  // namespace

Library::Library(std::shared_ptr<const Model> model, std::string path, std::shared_ptr<Wake> wake)
    : model_(std::move(model)), path_(std::move(path)), wake_(std::move(wake)) {
  thread_ = std::thread([this] { work(); });
}

Library::~Library() {
  stop();
  thread_.join();
}

void Library::stop() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
}

std::vector<Library::Found> Library::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(found_, {});
}

bool Library::looked_up() const {
  const std::lock_guard lock(mutex_);
  return looked_up_;
}

std::string Library::warning() const {
  const std::lock_guard lock(mutex_);
  return warning_;
}

void Library::keep(std::uint32_t weight, std::shared_ptr<const Statistics> statistics) {
  const std::lock_guard lock(mutex_);
  unwritten_.emplace_back(weight, std::move(statistics));
  changed_.notify_all();
}

void Library::look_up(ResultsDb& database) {
  std::vector<Found> batch;
  const auto hand_over = [&] {
    const std::lock_guard lock(mutex_);
    found_.insert(found_.end(), batch.begin(), batch.end());
    batch.clear();
    wake_->signal();
    return !stopping_;
  };
  for (std::uint32_t i = 0; i < model_->weights.size(); ++i) {
    const Weight& weight = model_->weights[i];
    if (weight.parts.empty()) continue;
    if (auto known = database.get(analysis_key(*model_, weight, false))) {
      batch.emplace_back(i, std::make_shared<const Statistics>(std::move(*known)));
    }
    // Also without finds: a program that ends should not wait for a hundred thousand look-ups.
    if ((i + 1) % kBatch == 0 && !hand_over()) return;
  }
  hand_over();
}

void Library::write(ResultsDb& database, const std::vector<Found>& batch) {
  std::vector<ResultsDb::Entry> entries;
  entries.reserve(batch.size());
  for (const auto& [weight, statistics] : batch) {
    entries.push_back({analysis_key(*model_, model_->weights[weight], false), *statistics});
  }
  database.put(entries);
}

void Library::work() {
  std::optional<ResultsDb> database;
  const auto guarded = [&](auto action) {
    try {
      action();
    } catch (const Error& error) {
      database.reset();
      const std::lock_guard lock(mutex_);
      warning_ = "results are not kept: " + error.message;
    } catch (const std::exception& other) {
      database.reset();
      const std::lock_guard lock(mutex_);
      warning_ = std::string("results are not kept: ") + other.what();
    }
  };
  guarded([&] {
    if (path_.empty()) return;
    database.emplace(path_, ResultsDb::Mode::kReadWrite);
    if (!database->warnings().empty()) {
      const std::lock_guard lock(mutex_);
      warning_ = database->warnings().front().message;
    }
    look_up(*database);
  });
  std::unique_lock lock(mutex_);
  looked_up_ = true;
  wake_->signal();
  while (true) {
    changed_.wait(lock, [&] { return stopping_ || !unwritten_.empty(); });
    if (!stopping_) changed_.wait_for(lock, kGather, [&] { return stopping_; });
    const std::vector<Found> batch = std::exchange(unwritten_, {});
    const bool last = stopping_;
    lock.unlock();
    if (database && !batch.empty()) guarded([&] { write(*database, batch); });
    if (last) return;
    lock.lock();
  }
}

}  // namespace qi
