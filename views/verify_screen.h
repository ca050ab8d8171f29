// The Verify screen: the faults of a model's weights, line by line as they are found. Shows a
// report that the program fills; reads no file. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/jobs/job_queue.h"
#include "engine/tensor/model.h"
#include "eval/check/verify.h"
#include "views/name_fit.h"
#include "views/table_screen.h"

namespace qi {

/// What looking for faults came to so far.
struct VerifyReport {
  struct Line {
    std::uint32_t weight = 0;  // index into Model::weights
    Fault fault;
    bool unread = false;  // the weight could not be read to its end: an error of this run
  };
  /// Lines kept; further ones are counted only.
  static constexpr std::size_t kMostLines = 100'000;

  explicit VerifyReport(std::shared_ptr<const Model> model_in);
  /// What one weight came to. An error: it could not be checked.
  void add(std::uint32_t weight, std::vector<Fault> faults);
  void add(std::uint32_t weight, const Error& error);

  std::shared_ptr<const Model> model;
  std::vector<Line> lines;
  std::uint64_t checked = 0;  // weights, with unread ones
  std::uint64_t faults = 0;
  std::uint64_t odd = 0;  // warnings
  std::uint64_t unread = 0;
  std::uint64_t undecodable = 0;  // weights of the model whose values nobody can decode
  std::optional<JobSnapshot> job;

 private:
  void keep(Line line);
};

class VerifyScreen final : public TableScreen {
 public:
  explicit VerifyScreen(std::shared_ptr<const VerifyReport> report);
  /// The report got lines.
  void refresh();
  /// The search was started once more.
  void show(std::shared_ptr<const VerifyReport> report);

  std::string copy_text() const override;
  std::string why_not(Command command) const override;

 private:
  void arrange() override;
  Context place() const override { return kInVerify; }
  std::size_t row_count() const override { return report_->lines.size(); }
  TableCell cell(std::size_t row, std::size_t column) const override;
  std::string export_text(std::size_t row, std::size_t column) const override;
  double sort_key(std::size_t row, std::size_t column) const override;
  std::string facts() const override;
  std::string when_empty() const override;
  std::string detail(std::size_t row) const override;
  std::optional<Progress> progress() const override;
  Request enter(std::size_t row) override;
  Request run_own(Command command) override;
  bool active() const { return report_->job && report_->job->state == JobState::kActive; }
  bool finished() const { return report_->checked == report_->model->weights.size(); }

  std::shared_ptr<const VerifyReport> report_;
  NameFit names_;
  std::size_t measured_ = 0;  // lines that names_ knows
  int name_level_ = 0;        // of shown_name()
};

}  // namespace qi
