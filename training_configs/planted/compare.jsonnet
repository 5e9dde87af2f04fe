// Which interpreters find the planted words.
local data = import "data.libsonnet";
local undecoded(layer, steps, rule) = {
  type: "layer-saliency",
  layer: layer,
  aggregation: { type: "integrated-gradients", steps: steps, rule: rule },
};

{
  archive_file: std.extVar("ARCHIVE"),
  data: { path: data.test, reader: data.planted("all"), sample: 300 },
  metrics: ["precision_at_k", "mean_rank", "comprehensiveness"],
  scores: ["signed"],
  reference: "default",
  seed: 0,
  interpreters: {
    random: "random",
    "simple-gradient": "simple-gradient",
    "integrated-gradient": "integrated-gradient",
    "smooth-gradient": "smooth-gradient",
    "gradient-x-input at 0": { type: "layer-saliency", layer: 0, aggregation: "gradient-x-input" },
    "integrated gradients, 20 steps": undecoded(0, 20, "gauss-legendre"),
    fast: { type: "decoded-layer-saliency", preset: "fast" },
    default: { type: "decoded-layer-saliency" },
    best: { type: "decoded-layer-saliency", preset: "best" },
  },
}
