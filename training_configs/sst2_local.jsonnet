// As sst2.jsonnet, from a local folder, MODEL, with a small encoder: higher learning rate, fewer epochs.
local classifier = import "classifier.libsonnet";
local data = std.extVar("DATA");

classifier(
  std.extVar("MODEL"), "sst2_tsv", data + "/train.tsv", data + "/dev.tsv", 2105,
  hidden_size=384, lr=1e-4, epochs=1
)
