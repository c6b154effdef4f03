#include "cli/bench_model.h"

#include <fmt/format.h>

#include "hw/pages.h"
#include "model/random_weights.h"
#include "tune/workload.h"

namespace autoglm {

BenchModel make_bench_model(Context& context) {
  const Settings& settings = context.settings();
  const std::string& name = settings.text("bench.shape");
  if (context.has_argument("MODEL")) {
    fail(Code::bad_flag, "both a model and --shape were given", "give one of them");
  }
  const ShapeTable table = ShapeTable::built_in();
  const ModelShape shape = table.shape(name);
  const std::string type = settings.text_if("bench.type").value_or("Q4_0");
  const TypeRecipe recipe = table.recipe(type);
  BenchModel model;
  model.opened = std::make_unique<OpenedModel>();
  OpenedModel& opened = *model.opened;
  opened.runtime = open_runtime(context);
  const int64_t weights =
      count_parameters(shape_spec(shape)) * info(recipe.matrix).block_bytes / info(recipe.matrix).block_columns;
  model.source_memory = Reservation(*opened.runtime.ledger, MemoryLine::weights, weights,
                                    fmt::format("random weights of {} as {}", name, type));
  context.note(fmt::format("making random weights: {} as {}", name, type));
  opened.source = random_model(shape, recipe, 1, *opened.runtime.pool, [&] { context.interrupt().check(); });
  return model;
}

BenchModel open_bench_model(Context& context, const LoadOptions& options, bool with_tokenizer,
                            std::unique_ptr<OpenedModel> here) {
  BenchModel model;
  const int64_t before = huge_page_bytes().value_or(0);
  if (context.settings().text_if("bench.shape")) {
    model = make_bench_model(context);
    const int64_t source = huge_page_bytes().value_or(0);
    model.source_memory = {};  // the model's plan has it now
    load_into(context, *model.opened, options, options.context);
    model.huge_bytes = huge_page_bytes().value_or(0) - source;
  } else {
    model.opened = here ? std::move(here) : open_unloaded(context);
    load_opened(context, *model.opened, options, false, options.context);
    model.huge_bytes = huge_page_bytes().value_or(0) - before;
  }
  if (!with_tokenizer) return model;
  OpenedModel& opened = *model.opened;
  opened.tokenizer = load_tokenizer(*opened.source);
  if (opened.tokenizer) {
    opened.chat = load_chat_model(*opened.source, *opened.tokenizer);
  } else {
    opened.tokenizer = word_tokenizer(opened.model->spec().vocabulary);
  }
  return model;
}

}  // namespace autoglm
