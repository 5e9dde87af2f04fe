// Every layer: one forward pass, and one more of the blocks above each layer; "balanced" takes three.
{
  type: "decoded-layer-saliency",
  layer: "all",
  preset: "fast",
  decoded_top_k: 3,
}
