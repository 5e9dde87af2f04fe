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
  both(settings): { [head]: settings for head in std.objectFields(heads) },
  undecoded: {
    [name + ", undecoded"]: { type: "layer-saliency", layer: layers, aggregation: aggregations[name] }
    for name in std.objectFields(aggregations)
  },
  // `of_heads` has settings of each.
  decoded(of_heads, suffix=""): {
    [name + ", " + head + suffix]: of_heads[head] {
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
