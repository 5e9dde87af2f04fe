// SET is "sst2" or "ag_news", whose folder is DATA; KIND the shortcut's, SEED of it and of the training.
local set = std.extVar("SET");
local sets = {
  sst2: { reader: "sst2_tsv", labels: ["negative", "positive"], train: "train.tsv", test: "dev.tsv" },
  // An ordered pair has two labels.
  ag_news: {
    reader: "ag_news_csv",
    labels: if std.extVar("KIND") == "ordered-pair" then ["Sports", "Business"]
    else ["World", "Sports", "Business", "Sci/Tech"],
    train: "train_subset.csv",
    test: "test.csv",
  },
};

{
  seed: std.parseInt(std.extVar("SEED")),
  train: std.extVar("DATA") + "/" + sets[set].train,
  test: std.extVar("DATA") + "/" + sets[set].test,
  planted(texts, reader={}): {
    type: "planted-shortcut",
    reader: { type: sets[set].reader } + reader,
    labels: sets[set].labels,
    kind: std.extVar("KIND"),
    texts: texts,
    // A single token is learnt from few texts; a pair of them, by a model of this size, is not.
    share: if std.extVar("KIND") == "single" then 0.02 else 0.2,
    seed: $.seed,
  },
}
