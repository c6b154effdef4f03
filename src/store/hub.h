// What a hub (Hugging Face or ModelScope) has in a repository, and which of its files to take.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "store/model_name.h"

namespace autoglm {

/// A file of a repository.
struct HubFile {
  std::string path;
  int64_t bytes = -1;
  std::string sha256;    // large files
  std::string git_blob;  // the others (Hugging Face)
  std::string url;
};

/// A hub's address and the token to show it, from the environment: HF_ENDPOINT (default https://huggingface.co) with
/// HF_TOKEN or the token that huggingface-cli stored; MODELSCOPE_ENDPOINT (https://www.modelscope.cn) with
/// MODELSCOPE_API_TOKEN.
struct Hub {
  bool model_scope = false;
  std::string endpoint;
  std::string token;
  std::string silent_hint;  // what to try when it does not answer
};

/// `elsewhere` is the repository's name on the other hub, for the hint.
Hub find_hub(const ModelName& name, const std::string& elsewhere);

/// Every file of the repository at the revision. Errors: as fetch_text; model_not_found for an unknown repository.
std::vector<HubFile> list_hub(const Hub& hub, const ModelName& name, const std::function<bool()>& tick);

/// The files to fetch: the GGUF that was named or the best one that fits (whole if split), else the safetensors folder.
/// `memory_limit` bytes bounds the automatic choice. `why` gets a sentence about the choice.
std::vector<HubFile> choose_files(const std::vector<HubFile>& files, const ModelName& name, int64_t memory_limit,
                                  std::string& why);

}  // namespace autoglm
