// Explanations of training texts, planted or not, for a summary.
local data = import "data.libsonnet";
local midpoint = {
  type: "decoded-layer-saliency",
  layer: 1,
  aggregation: { type: "integrated-gradients", steps: 1, rule: "midpoint" },
};

{
  archive_file: std.extVar("ARCHIVE"),
  data: { path: data.train, reader: data.planted("some"), sample: 4000 },
  interpreters: { "midpoint-at-1-decoded": midpoint, "simple-gradient": "simple-gradient" },
  seed: data.seed,
}
