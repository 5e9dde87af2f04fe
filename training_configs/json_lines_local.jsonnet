// A classifier of JSON lines, TRAIN and TEST (scripts/json_lines.py makes them), from a local encoder, MODEL: of texts of
// any length, which are folded into segments, or, if PAIRS is "true", of pairs of texts. SIZE is the encoder's hidden
// size, LR the learning rate, EPOCHS and BATCHES the passes and the batches of a pass.
local classifier = import "classifier.libsonnet";
local model = std.extVar("MODEL");
local of_texts = { max_length: 512 };

classifier(
  model, "text_classification_json", std.extVar("TRAIN"), std.extVar("TEST"), std.parseInt(std.extVar("BATCHES")),
  hidden_size=std.parseInt(std.extVar("SIZE")),
  lr=std.parseJson(std.extVar("LR")),
  epochs=std.parseInt(std.extVar("EPOCHS"))
) + (
  if std.extVar("PAIRS") == "true" then {
    dataset_reader: { type: "huggingface-classifier", model_name: model, max_length: 128 },
  } else {
    dataset_reader+: { tokenizer: { type: "pretrained_transformer", model_name: model }, token_indexers+: { tokens+: of_texts } },
    model+: { text_field_embedder+: { token_embedders+: { tokens+: of_texts } } },
  }
)
