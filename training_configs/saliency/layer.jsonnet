// Layer saliency without decoding: the ablation.
{
  type: "layer-saliency",
  layer: -2,
  aggregation: { type: "gradient-x-input" },
}
