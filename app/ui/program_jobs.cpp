// Verify, diff and the list of jobs: starting them, taking what they came to, pausing, cancelling.
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "app/ui/background_diff.h"
#include "app/ui/background_eval.h"
#include "app/ui/background_quantize.h"
#include "app/ui/background_store.h"
#include "app/ui/background_sweep.h"
#include "app/ui/background_verify.h"
#include "app/ui/program.h"
#include "app/ui/result_reader.h"
#include "app/ui/sweep_text_reader.h"
#include "engine/text/escape.h"
#include "views/diff_screen.h"
#include "views/eval_screen.h"
#include "views/job_text.h"
#include "views/jobs_screen.h"
#include "views/quantize_screen.h"
#include "views/sweep_screen.h"
#include "views/verify_screen.h"
#include "views/widgets.h"

namespace qi {
namespace {

constexpr std::size_t kMostEnded = 100;  // jobs of the history

bool is_active(const std::optional<JobSnapshot>& job) {
  return job && job->state == JobState::kActive;
}

}  // namespace

// --- verify

void Program::start_verify() {
  trim_history();
  const std::shared_ptr<const Model> model = model_->table().shared_model();
  verify_ = std::make_unique<BackgroundVerify>(model, queue_);
  verify_report_ = std::make_shared<VerifyReport>(model);
  verify_report_->job = queue_.snapshot(verify_->job());
}

void Program::show_verify() {
  if (auto* screen = dynamic_cast<VerifyScreen*>(&top())) {
    start_verify();
    return screen->show(verify_report_);
  }
  if (verify_ == nullptr) start_verify();
  if (!return_to<VerifyScreen>()) push(std::make_unique<VerifyScreen>(verify_report_));
}

void Program::take_verify() {
  VerifyReport& report = *verify_report_;
  const bool was_active = is_active(report.job);
  const std::size_t lines = report.lines.size();
  // The state first: once that says "ended", all results are there.
  report.job = queue_.snapshot(verify_->job());
  if (report.job && verify_->feeding()) report.job->state = JobState::kActive;
  for (BackgroundVerify::Result& result : verify_->take()) {
    if (result.error) {
      log(LogLine::Kind::kError, describe(*result.error));
      report.add(result.weight, *result.error);
      continue;
    }
    for (const Fault& fault : result.faults) {
      log(fault.odd_only ? LogLine::Kind::kWarning : LogLine::Kind::kError,
          fmt::format("{}: {}", fault.tensor, fault.message));
    }
    report.add(result.weight, std::move(result.faults));
  }
  if (report.lines.size() != lines) {
    if (auto* screen = find_screen<VerifyScreen>()) screen->refresh();
  }
  if (!was_active || is_active(report.job)) return;
  log(LogLine::Kind::kNote,
      fmt::format("verify: {} in {} of {}", counted(report.faults, "fault"), report.checked,
                  counted(report.model->weights.size(), "weight")));
  if (const std::string_view remark = unchecked_remark(report.model->container); !remark.empty()) {
    log(LogLine::Kind::kWarning, fmt::format("verify: {}", remark));
  }
}

// --- containers

void Program::ask_store() {
  const Model& model = model_->table().model();
  const std::string name = is_printable(model.name) ? model.name : "model";
  const bool decode = model.container == Container::kQstore;
  carry_out({Ask::kCommandLine, decode ? "decode " + name : fmt::format("encode {}.qstore", name)});
}

void Program::start_encode(const std::string& argument, bool overwrite) {
  try {
    EncodeOrder order = parse_encode(argument);
    order.overwrite = overwrite;
    trim_history();
    if (store_ == nullptr) store_ = std::make_unique<BackgroundStore>(queue_);
    store_->encode(model_->table().shared_model(), std::move(order), options_.prototype_dtype);
    top().set_notice("encoding: J shows the jobs");
  } catch (const Error& error) {
    log(LogLine::Kind::kError, describe(error));
    top().set_notice(describe(error));
  }
}

void Program::start_decode(const std::string& argument) {
  try {
    DecodeOrder order = parse_decode(argument);
    trim_history();
    if (store_ == nullptr) store_ = std::make_unique<BackgroundStore>(queue_);
    store_->decode(model_->table().shared_model(), std::move(order));
    top().set_notice("decoding: J shows the jobs");
  } catch (const Error& error) {
    log(LogLine::Kind::kError, describe(error));
    top().set_notice(describe(error));
  }
}

void Program::take_store() {
  if (store_ == nullptr) return;
  for (const BackgroundStore::Result& result : store_->take()) {
    if (result.error) {
      log(LogLine::Kind::kError, describe(*result.error));
      top().set_notice(describe(*result.error));
      continue;
    }
    for (const Warning& warning : result.warnings) log(LogLine::Kind::kWarning, describe(warning));
    for (const std::string& note : result.notes) log(LogLine::Kind::kNote, note);
    log(LogLine::Kind::kNote, result.text);
    top().set_notice(escape(result.text));
  }
}

// --- diff

void Program::show_diff(const std::string& path) {
  if (!path.empty()) return start_diff(path);
  if (diff_ != nullptr && dynamic_cast<DiffScreen*>(&top()) == nullptr) {
    if (!return_to<DiffScreen>()) push(std::make_unique<DiffScreen>(diff_report_));
    return;
  }
  carry_out({Ask::kCommandLine, "diff " + other_model()});
}

std::string Program::other_model() const {
  if (candidates_.size() != 2) return "";
  const std::string& open = model_->table().model().path;
  for (const Candidate& candidate : candidates_) {
    if (candidate.path != open && is_printable(candidate.path)) return candidate.path;
  }
  return "";
}

void Program::start_diff(const std::string& path) {
  trim_history();
  const std::shared_ptr<const Model> model = model_->table().shared_model();
  diff_ = std::make_unique<BackgroundDiff>(model, path,
                                           OpenOptions{.prototype_dtype = options_.prototype_dtype},
                                           options_.tensors, queue_);
  diff_report_ = std::make_shared<DiffReport>(model, path);
  diff_report_->job = queue_.snapshot(diff_->job());
  if (return_to<DiffScreen>()) pop();
  push(std::make_unique<DiffScreen>(diff_report_));
}

void Program::take_diff() {
  const bool was_active = is_active(diff_report_->job);
  const std::optional<JobSnapshot> job = queue_.snapshot(diff_->job());
  BackgroundDiff::Results results = diff_->take();
  if (results.opened) {
    diff_report_ = std::move(results.opened);
    const Model& other = *diff_report_->b;
    for (const Warning& warning : other.warnings) log(LogLine::Kind::kWarning, describe(warning));
    if (auto* screen = find_screen<DiffScreen>()) screen->show(diff_report_);
  }
  DiffReport& report = *diff_report_;
  report.job = job;
  const bool ended = was_active && !is_active(job);
  if (results.open_error) {
    report.error = describe(*results.open_error);
    log(LogLine::Kind::kError, report.error);
    if (dynamic_cast<DiffScreen*>(&top()) == nullptr) top().set_notice(report.error);
  }
  for (BackgroundDiff::Compared& one : results.compared) {
    if (!one.error) {
      report.finish(one.row, std::move(one.result));
      continue;
    }
    log(LogLine::Kind::kError, describe(*one.error));
    report.fail(one.row, one.error->message);
  }
  if (ended && report.is_open()) {
    log(LogLine::Kind::kNote,
        fmt::format("diff with {}: {} of {} compared, {} the same", report.path_b, report.compared,
                    counted(report.pairs, "pair"),
                    report.totals[static_cast<std::size_t>(DiffStatus::kSame)]));
  }
  if (ended) {
    if (auto* screen = find_screen<DiffScreen>()) screen->refresh();
  } else if (!results.compared.empty()) {
    settle_soon();
  }
}

// --- jobs

void Program::take_jobs() {
  if (verify_ != nullptr) take_verify();
  if (diff_ != nullptr) take_diff();
  take_store();
  if (sweep_ != nullptr) take_sweep();
  if (eval_ != nullptr) take_eval();
  if (quantize_ != nullptr) take_quantize();
  if (result_reader_ != nullptr) take_results_read();
  if (auto* screen = find_screen<JobsScreen>()) screen->set_jobs(queue_.snapshot());
}

std::vector<JobStatus> Program::other_jobs() {
  std::vector<JobStatus> out;
  const auto add = [&](std::string name, const std::optional<JobSnapshot>& job, std::uint64_t done,
                       std::uint64_t total) {
    if (!is_active(job)) return;
    JobStatus status;
    status.active = true;
    status.done = done;
    status.total = total;
    status.eta_s = job->eta_s;
    status.paused = job->paused;
    status.tick = ++tick_;
    status.name = std::move(name);
    out.push_back(std::move(status));
  };
  if (verify_ != nullptr) {
    add("verify", verify_report_->job, verify_report_->checked,
        verify_report_->model->weights.size());
  }
  if (diff_ != nullptr) {
    add("diff", diff_report_->job, diff_report_->compared, diff_report_->pairs);
  }
  if (sweep_ != nullptr) {
    add("sweep", sweep_report_->job, sweep_report_->finished, sweep_report_->units);
  }
  if (eval_ != nullptr && eval_report_->live) {
    add("evaluate", eval_report_->job, eval_report_->live->done, eval_report_->live->total);
  }
  if (quantize_ != nullptr) {
    const auto percent = static_cast<std::uint64_t>(100 * quantize_report_->done);
    add(quantize_report_->stage, quantize_report_->job, percent, 100);
  }
  if (store_ != nullptr) {
    if (const auto job = store_->running()) {
      // One unit: percents say more.
      const std::uint64_t done =
          job->bytes_total == 0
              ? 0
              : static_cast<std::uint64_t>(100.0 * static_cast<double>(job->bytes_done) /
                                           static_cast<double>(job->bytes_total));
      add(job->name.substr(0, 6), job, done, 100);
    }
  }
  return out;
}

void Program::show_jobs() {
  if (return_to<JobsScreen>()) return;
  push(std::make_unique<JobsScreen>(queue_.snapshot()));
}

void Program::show_job_errors(JobId id) {
  const std::optional<JobSnapshot> job = queue_.snapshot(id);
  if (job) push(std::make_unique<JobErrorsScreen>(*job, queue_.errors(id)));
}

void Program::pause_job(JobId id) {
  const std::optional<JobSnapshot> job = queue_.snapshot(id);
  if (!job) return;
  if (job->paused) return queue_.resume(id);
  queue_.pause(id);
  if (!job->running.empty()) top().set_notice("paused: what runs already goes on to its end");
}

void Program::cancel_jobs(JobId id) {
  const bool verify = id == 0 ? dynamic_cast<VerifyScreen*>(&top()) != nullptr
                              : verify_ != nullptr && verify_->job() == id;
  const bool diff = id == 0 ? dynamic_cast<DiffScreen*>(&top()) != nullptr
                            : diff_ != nullptr && diff_->job() == id;
  const bool sweep = id == 0 ? dynamic_cast<SweepScreen*>(&top()) != nullptr
                             : sweep_ != nullptr && sweep_->job() == id;
  const bool eval = id == 0 ? dynamic_cast<EvalScreen*>(&top()) != nullptr
                            : eval_ != nullptr && eval_->job() == id;
  const bool quantize = id == 0 ? dynamic_cast<QuantizeScreen*>(&top()) != nullptr
                                : quantize_ != nullptr && quantize_->job() == id;
  if (quantize) {
    quantize_->cancel();
    top().set_notice("cancelled: finished blocks are kept, the same folder goes on from there");
  } else if (eval) {
    eval_->cancel();
    top().set_notice(
        "cancelled: finished windows are kept, the same evaluation goes on from there");
  } else if (sweep) {
    sweep_->cancel();
    top().set_notice("cancelled: finished rows are kept, the same sweep goes on from there");
  } else if (verify) {
    verify_->cancel();
    top().set_notice("cancelled: what was found stays");
  } else if (diff) {
    diff_->cancel();
    top().set_notice("cancelled: what was compared stays");
  } else if (id == 0 || analysis_->job() == id) {
    cancel_analysis();
  } else {
    queue_.cancel(id);
  }
}

void Program::trim_history() {
  std::vector<JobSnapshot> jobs = queue_.snapshot();
  std::erase_if(jobs, [](const JobSnapshot& job) { return job.state == JobState::kActive; });
  for (std::size_t i = 0; i + kMostEnded < jobs.size(); ++i) {
    if (analysis_->job() != jobs[i].id) queue_.forget(jobs[i].id);
  }
}

void Program::close_jobs() {
  verify_.reset();
  diff_.reset();
  verify_report_.reset();
  diff_report_.reset();
  sweep_.reset();
  sweep_report_.reset();
  sweep_texts_.reset();
  sweep_texts_of_.clear();
  eval_.reset();
  eval_report_.reset();
  quantize_.reset();
  quantize_report_.reset();
  result_reader_.reset();
}

}  // namespace qi
