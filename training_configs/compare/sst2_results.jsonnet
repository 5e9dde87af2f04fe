(import "results.libsonnet")(
  { path: std.extVar("DATA") + "/dev.tsv", reader: "sst2_tsv" },
  ["comprehensiveness", "sufficiency", "log_odds", "auprc", "token_f1", "iou", "seconds"],
  // Of the development sentences, with a human label for each phrase.
  { path: std.extVar("TREES") + "/dev.txt", format: "sst_trees" },
)
