// Every layer: one forward pass, and above each layer five more and a backward pass; "balanced" takes seven and three.
{
  type: "decoded-layer-saliency",
  layer: "all",
  preset: "fast",
  decoded_top_k: 3,
}
