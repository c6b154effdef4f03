#include "format/hf_keys.h"

#include <algorithm>
#include <iterator>

namespace autoglm {
namespace {

struct KeyReason {
  std::string_view key;
  std::string_view why;
};

constexpr std::string_view kNaming = "names, versions and bookkeeping of the file's writer";
constexpr std::string_view kTraining = "only training, or only what training saw";
constexpr std::string_view kStorage = "each tensor says its own type";
constexpr std::string_view kTokens = "token ids: the tokenizer and generation_config.json are what counts";
constexpr std::string_view kOutput = "which intermediate results the Python program returns";
constexpr std::string_view kSampling = "defaults of generation, which a run sets itself";
constexpr std::string_view kSpeed = "how the Python program computes the same values";
constexpr std::string_view kTasks = "classification heads and encoders, which decoders do not have";

constexpr KeyReason kHarmless[] = {
    {"_name_or_path", kNaming},
    {"_commit_hash", kNaming},
    {"_attn_implementation", kSpeed},
    {"_attn_implementation_autoset", kSpeed},
    {"_experts_implementation", kSpeed},
    {"architectures", kNaming},
    {"attn_implementation", kSpeed},
    {"auto_map", kNaming},
    {"custom_pipelines", kNaming},
    {"library_name", kNaming},
    {"license", kNaming},
    {"model_name", kNaming},
    {"transformers_version", kNaming},
    {"transformers.js_config", kNaming},
    {"unsloth_version", kNaming},
    {"unsloth_fixed", kNaming},
    {"tokenizer_class", kNaming},
    {"model_type", kNaming},

    {"torch_dtype", kStorage},
    {"dtype", kStorage},
    {"use_bfloat16", kStorage},

    {"attention_dropout", kTraining},
    {"classifier_dropout", kTraining},
    {"embd_pdrop", kTraining},
    {"attn_pdrop", kTraining},
    {"resid_pdrop", kTraining},
    {"hidden_dropout", kTraining},
    {"hidden_dropout_prob", kTraining},
    {"gradient_checkpointing", kTraining},
    {"initializer_range", kTraining},
    {"initializer_factor", kTraining},
    {"output_router_logits", kTraining},
    {"router_aux_loss_coef", kTraining},
    {"aux_loss_alpha", kTraining},
    {"seq_aux", kTraining},
    {"router_jitter_noise", kTraining},
    {"ep_size", kTraining},

    {"bos_token_id", kTokens},
    {"eos_token_id", kTokens},
    {"pad_token_id", kTokens},
    {"sep_token_id", kTokens},
    {"unk_token_id", kTokens},
    {"mask_token_id", kTokens},
    {"gmask_token_id", kTokens},
    {"decoder_start_token_id", kTokens},
    {"forced_bos_token_id", kTokens},
    {"forced_eos_token_id", kTokens},

    {"output_attentions", kOutput},
    {"output_hidden_states", kOutput},
    {"output_scores", kOutput},
    {"return_dict", kOutput},
    {"return_dict_in_generate", kOutput},

    {"bad_words_ids", kSampling},
    {"begin_suppress_tokens", kSampling},
    {"diversity_penalty", kSampling},
    {"do_sample", kSampling},
    {"early_stopping", kSampling},
    {"encoder_no_repeat_ngram_size", kSampling},
    {"exponential_decay_length_penalty", kSampling},
    {"length_penalty", kSampling},
    {"max_length", kSampling},
    {"max_new_tokens", kSampling},
    {"min_length", kSampling},
    {"no_repeat_ngram_size", kSampling},
    {"num_beam_groups", kSampling},
    {"num_beams", kSampling},
    {"num_return_sequences", kSampling},
    {"prefix", kSampling},
    {"remove_invalid_values", kSampling},
    {"repetition_penalty", kSampling},
    {"suppress_tokens", kSampling},
    {"temperature", kSampling},
    {"top_k", kSampling},
    {"top_p", kSampling},
    {"typical_p", kSampling},

    {"cache_implementation", kSpeed},
    {"chunk_size_feed_forward", kSpeed},
    {"pretraining_tp", kSpeed},
    {"torchscript", kSpeed},
    {"use_cache", kSpeed},
    {"use_flash_attn", kSpeed},

    {"finetuning_task", kTasks},
    {"id2label", kTasks},
    {"label2id", kTasks},
    {"num_labels", kTasks},
    {"problem_type", kTasks},
    {"pruned_heads", kTasks},
    {"task_specific_params", kTasks},
    {"tf_legacy_loss", kTasks},
    {"tie_encoder_decoder", kTasks},
    {"cross_attention_hidden_size", kTasks},
};

/// Around a text_config: the model's other parts, which are not run, and the ids of tokens that stand for them.
constexpr std::string_view kOtherParts[] = {"text_config",
                                            "vision_config",
                                            "audio_config",
                                            "mm_tokens_per_image",
                                            "image_token_id",
                                            "image_token_index",
                                            "boi_token_id",
                                            "boi_token_index",
                                            "eoi_token_id",
                                            "eoi_token_index",
                                            "video_token_id",
                                            "video_token_index",
                                            "audio_token_id",
                                            "audio_token_index",
                                            "vision_start_token_id",
                                            "vision_end_token_id",
                                            "image_start_token_id",
                                            "image_end_token_id",
                                            "video_start_token_id",
                                            "video_end_token_id",
                                            "vision_token_id",
                                            "vision_feature_layer",
                                            "vision_feature_select_strategy",
                                            "projector_hidden_act",
                                            "multimodal_projector_bias"};

}  // namespace

bool is_harmless_key(std::string_view key) {
  return std::ranges::any_of(kHarmless, [key](const KeyReason& row) { return row.key == key; });
}

bool is_harmless_outer_key(std::string_view key) {
  return is_harmless_key(key) || std::ranges::find(kOtherParts, key) != std::end(kOtherParts);
}

}  // namespace autoglm
