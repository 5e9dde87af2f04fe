// Each layer's faithfulness, for comparison with its coherence.
function(data) {
  archive_file: std.extVar("ARCHIVE"),
  data: data,
  metrics: ["comprehensiveness", "sufficiency"],
  scores: ["signed"],
  interpreters: {
    undecoded: { type: "layer-saliency", layer: "all", aggregation: "gradient-x-input" },
    decoded: {
      type: "decoded-layer-saliency",
      layer: "all",
      aggregation: "gradient-x-input",
      tau: 10,
      decoded_top_k: 0,
    },
    midpoint: {
      type: "decoded-layer-saliency",
      layer: "all",
      aggregation: { type: "integrated-gradients", steps: 1, rule: "midpoint" },
      tau: 10,
      decoded_top_k: 0,
    },
  },
}
