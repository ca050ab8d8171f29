// The batch modes. Each opens what it needs, yields rows to a Table and reports faults through the
// session's messages; errors that end the run are thrown. Exit statuses: Messages::status().
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/session.h"

namespace qi {

struct CalibrationText;
struct EvaluationRequest;
struct QuantizeEvents;
struct QuantizeRequest;
class Progress;

void run_list(Session& session);
void run_stats(Session& session);
void run_verify(Session& session);
void run_show(Session& session);
void run_diff(Session& session);
void run_convert(Session& session);
void run_quantize(Session& session);
void run_encode(Session& session);
void run_decode(Session& session);
void run_sweep(Session& session);
void run_eval(Session& session);
void run_results(Session& session);

/// --convert and --quantize to a GGUF of --to TYPE.
void run_gguf(Session& session, const std::string& output);

/// What the options of --eval and of --sweep --with ask for.
EvaluationRequest evaluation_request(const Options& options);
/// Opens kld's base for it, and adds the files that it reads.
void open_evaluation_files(Session& session, EvaluationRequest& request,
                           std::vector<std::string>& inputs);

/// "zfp --rates 4,8 --dims 2 --with ppl": what the run of a sweep is remembered by.
std::string sweep_record(const Options& options);
/// 16 hex digits of everything that a model is, for rows of calibrated families. Nothing:
/// cancelled.
std::optional<std::string> calibrated_model_hash(const Model& model, const std::string& database,
                                                 const std::atomic<bool>* cancel);

/// What the options of --quantize ask for, without model and calibration text.
QuantizeRequest quantize_request(const Options& options);
/// Its stages as a bar, and its notes; both must outlive what follows them.
QuantizeEvents events_on(Progress& progress, Session& session);
/// What --calibration names, cut for the model.
std::shared_ptr<const CalibrationText> calibration_text(const Options& options, const Model& model);
/// The same for a session, which says when it is short.
std::shared_ptr<const CalibrationText> calibration_text(Session& session, const Model& model,
                                                        std::vector<std::string>& inputs);

}  // namespace qi
