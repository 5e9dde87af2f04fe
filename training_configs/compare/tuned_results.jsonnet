// What of that is reported, on texts that chose nothing, beside one midpoint. DATA and READER name file and reader,
// TEXTS says how many texts.
local rows = import "tuned.libsonnet";
local midpoint = {
  type: "decoded-layer-saliency",
  layer: 1,
  aggregation: { type: "integrated-gradients", steps: 1, rule: "midpoint" },
};

{
  archive_file: std.extVar("ARCHIVE"),
  data: {
    path: std.extVar("DATA"),
    reader: std.extVar("READER"),
    sample: std.parseInt(std.extVar("TEXTS")),
  },
  metrics: ["comprehensiveness", "sufficiency", "seconds"],
  scores: ["signed"],
  reference: "midpoint at 1, decoded",
  interpreters: { random: "random", "midpoint at 1, decoded": midpoint }
                + rows.undecoded
                + rows.decoded({ pretrained: { tau: null }, tuned: { tau: 10 } }),
}
