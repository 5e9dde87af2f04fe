// Decoding through the pre-trained head and through a fitted one, HEAD, at the LAYERS (JSON) of ARCHIVE: one gradient,
// and one midpoint step.
local layers = std.parseJson(std.extVar("LAYERS"));
local aggregations = {
  "gradient-x-input": "gradient-x-input",
  midpoint: { type: "integrated-gradients", steps: 1, rule: "midpoint" },
};
local heads = {
  pretrained: "pretrained",
  tuned: { type: "tuned", path: std.extVar("HEAD") },
};

{
  undecoded: {
    [name + ", undecoded"]: { type: "layer-saliency", layer: layers, aggregation: aggregations[name] }
    for name in std.objectFields(aggregations)
  },
  decoded(settings, suffix=""): {
    [name + ", " + head + suffix]: settings {
      type: "decoded-layer-saliency",
      layer: layers,
      aggregation: aggregations[name],
      lm_head: heads[head],
      decoded_top_k: 0,
    }
    for name in std.objectFields(aggregations)
    for head in std.objectFields(heads)
  },
}
