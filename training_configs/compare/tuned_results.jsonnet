// What of that is reported, on texts that chose nothing, beside the fast preset. DATA and READER name file and reader,
// TEXTS says how many texts.
local rows = import "tuned.libsonnet";

{
  archive_file: std.extVar("ARCHIVE"),
  data: {
    path: std.extVar("DATA"),
    reader: std.extVar("READER"),
    sample: std.parseInt(std.extVar("TEXTS")),
  },
  metrics: ["comprehensiveness", "sufficiency", "seconds"],
  scores: ["signed"],
  reference: "fast",
  interpreters: { random: "random", fast: { type: "decoded-layer-saliency", preset: "fast" } }
                + rows.undecoded
                + rows.decoded({ pretrained: { tau: null }, tuned: { tau: 10 } }),
}
