// What a model is made to go on with where no calibration text is given: beginnings of texts and questions of many
// kinds, since inputs differ most between kinds of text.
#include "compress/calibration.h"

namespace autoglm {
namespace {

constexpr CalibrationSeed kSeeds[] = {
    {false, "The history of the city begins with"},
    {true, "Explain how a refrigerator works."},
    {false, "def read_config(path):\n    \"\"\"Reads a configuration file.\"\"\"\n"},
    {true, "请介绍一下你最喜欢的一本书。"},
    {false, "In this paper we show that"},
    {true, "What is 17 times 23? Show your steps."},
    {false, "中国的传统节日有很多，其中"},
    {true, "Write a short story about a lighthouse keeper."},
    {false, "#include <vector>\n\n// Sorts the values in place.\nvoid "},
    {true, "如何做一道简单的西红柿炒鸡蛋？"},
    {false, "Chapter 1\n\nIt was a cold morning when"},
    {true, "Write a Python function that finds the longest word in a sentence."},
    {false, "Ingredients:\n- 2 cups of flour\n"},
    {true, "Summarize the causes of the First World War in five sentences."},
    {false, "The quarterly report shows that revenue"},
    {true, "用一段话解释什么是机器学习。"},
    {false, "To install the package, run the following command:\n\n```\n"},
    {true, "Translate to French: The weather is beautiful today and we are going to the beach."},
    {false, "SELECT name, count(*) FROM"},
    {true, "Give me a list of ten ideas for a birthday present."},
    {false, "据新华社报道，"},
    {true, "My computer is slow. What can I do about it?"},
    {false, "Once upon a time, in a small village near the sea,"},
    {true, "What are the differences between TCP and UDP?"},
    {false, "{\"name\": \"Alice\", \"age\": 31, \"address\": {"},
    {true, "Escribe una carta formal para solicitar un empleo."},
    {false, "Theorem 2. Let f be a continuous function on the interval [0, 1]. Then"},
    {true, "比较一下北京和上海的气候。"},
    {false, "<!DOCTYPE html>\n<html>\n<head>\n"},
    {true, "Why is the sky blue?"},
    {false, "The patient was a 54-year-old man who"},
    {true, "Write an email to a colleague to move a meeting to next week."},
};

}  // namespace

std::span<const CalibrationSeed> calibration_seeds() { return kSeeds; }

}  // namespace autoglm
