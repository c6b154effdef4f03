// Texts for calibration and judgement, and the quality report of a form against its source.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "compress/calibration.h"
#include "compress/quality_report.h"
#include "optimize/optimize.h"

namespace autoglm {

/// Told in the words of the language, with how far it is.
using TellProgress = std::function<void(const std::string& label, int64_t done, int64_t total)>;

class Judge {
 public:
  Judge(const OptimizeInputs& inputs, const OptimizeOptions& options) : inputs_(inputs), options_(options) {}

  /// Reads the user's texts (--calib may be chats, a .jsonl), or has the model write its own: windows to calibrate
  /// with, texts to judge by. Errors: bad_file for a text that fills no window, or where more than 1 % of one text is
  /// in the other.
  void prepare(const Effort& effort);
  const Windows& calibration() const { return calibration_; }
  const TextRecord& calibration_record() const { return calibration_record_; }
  const TextRecord& evaluation_record() const { return evaluation_record_; }

  /// The form against the source's exact path, by so many windows; on default settings but for `kv_type`. Errors:
  /// numeric (no numbers in weights or logits: the tensor is named), those of loading.
  QualityReport judge(const std::shared_ptr<const ModelSource>& form, const std::string& name, int64_t windows,
                      KvType kv_type);

  /// Peak memory of judge() for a form like the source.
  int64_t memory() const;

 private:
  Windows write_own(int64_t windows, uint64_t seed);
  LoadOptions load_options() const;
  void tell(const char* en, const char* zh, int64_t done, int64_t total) const;

  const OptimizeInputs& inputs_;
  const OptimizeOptions& options_;
  Windows calibration_;
  std::vector<EvaluationText> evaluation_;
  TextRecord calibration_record_, evaluation_record_;
};

}  // namespace autoglm
