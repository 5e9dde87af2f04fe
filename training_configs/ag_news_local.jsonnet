// As ag_news.jsonnet, from a local folder, MODEL, with a small encoder: higher learning rate, fewer epochs.
// TRAIN and TEST are files of AG News' form.
local classifier = import "classifier.libsonnet";

classifier(
  std.extVar("MODEL"), "ag_news_csv", std.extVar("TRAIN"), std.extVar("TEST"), 1109,
  hidden_size=384, lr=1e-4, epochs=1
)
