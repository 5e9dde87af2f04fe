// What of that is reported, on texts that chose nothing, beside the default. DATA and READER name file and reader,
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
  reference: "default",
  interpreters: { random: "random", default: "decoded-layer-saliency" }
                + rows.undecoded
                + rows.decoded({ pretrained: { tau: null }, tuned: { tau: 10 } }),
}
