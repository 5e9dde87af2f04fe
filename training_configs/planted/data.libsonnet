// SET is "sst2", "ag_news" or "trec", whose folder is DATA; KIND the shortcut's, SEED of it and of the training.
local set = std.extVar("SET");
local sets = {
  sst2: { reader: { type: "sst2_tsv" }, labels: ["negative", "positive"], train: "train.tsv", test: "dev.tsv" },
  // Two of the four classes: a word for each of four is in too few texts to be learnt.
  ag_news: {
    reader: { type: "ag_news_csv" },
    labels: ["Sports", "Business"],
    train: "train_subset.csv",
    test: "test.csv",
  },
  // Two of the six classes; scripts/planted makes JSON lines of the questions.
  trec: {
    reader: { type: "text_classification_json", tokenizer: "whitespace" },
    labels: ["1", "3"],
    train: "train.jsonl",
    test: "test.jsonl",
  },
};

{
  // Texts to a pass are few: more passes.
  epochs: if set == "trec" then 12 else 5,
  seed: std.parseInt(std.extVar("SEED")),
  train: std.extVar("DATA") + "/" + sets[set].train,
  test: std.extVar("DATA") + "/" + sets[set].test,
  // What a reader needs to write texts as a transformer's pieces.
  pieces(model): {
    local transformer = { type: "pretrained_transformer", model_name: model },
    tokenizer: transformer { max_length: 128 },
    token_indexers: { tokens: transformer },
  },
  planted(texts, reader={}): {
    type: "planted-shortcut",
    reader: sets[set].reader + reader,
    labels: sets[set].labels,
    kind: std.extVar("KIND"),
    texts: texts,
    // A single token is learnt from few texts; a pair of them, by a model of this size, is not.
    share: if std.extVar("KIND") == "single" then 0.02 else 0.2,
    seed: $.seed,
  },
}
