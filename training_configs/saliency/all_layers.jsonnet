// Every layer: one forward pass, and one more of the blocks above each layer.
{
  type: "decoded-layer-saliency",
  layer: "all",
  decoded_top_k: 3,
}
