// Layer saliency without decoding: the ablation.
{
  type: "layer-saliency",
  layer: 1,
  aggregation: { type: "integrated-gradients", steps: 1, rule: "midpoint" },
}
