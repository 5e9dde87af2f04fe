// A classifier of JSON lines, TRAIN and TEST (scripts/json_lines.py makes them), from a local encoder, MODEL. FORM is
// "texts" (of which 128 pieces are read), "documents" (of any length) or "pairs" of texts; SIZE the encoder's hidden
// size, LR the learning rate, EPOCHS and BATCHES the passes and the batches of a pass.
local classifier = import "classifier.libsonnet";
local model = std.extVar("MODEL");
local size = std.parseInt(std.extVar("SIZE"));
// Documents are folded into segments, which do not see each other (and are faster than one long one is) ...
local segments = { max_length: 128 };
local folded(tokenizer={}) = {
  type: "text_classification_json",
  tokenizer: { type: "pretrained_transformer", model_name: model } + tokenizer,
  token_indexers: { tokens: { type: "pretrained_transformer", model_name: model } + segments },
};
local forms = {
  texts: {},
  documents: {
    // Trained on their first 256 pieces, in less time and memory; thereafter whole documents are read.
    dataset_reader: folded({ max_length: 256 }),
    validation_dataset_reader: folded(),
    data_loader+: { batch_sampler+: { batch_size: 16 } },
    model+: {
      text_field_embedder+: { token_embedders+: { tokens+: segments } },
      // ... so that the first position would tell of the first segment only.
      seq2vec_encoder: { type: "bag_of_embeddings", embedding_dim: size, averaged: true },
    },
  },
  pairs: { dataset_reader: { type: "huggingface-classifier", model_name: model, max_length: 128 } },
};

classifier(
  model, "text_classification_json", std.extVar("TRAIN"), std.extVar("TEST"), std.parseInt(std.extVar("BATCHES")),
  hidden_size=size,
  lr=std.parseJson(std.extVar("LR")),
  epochs=std.parseInt(std.extVar("EPOCHS"))
) + forms[std.extVar("FORM")]
