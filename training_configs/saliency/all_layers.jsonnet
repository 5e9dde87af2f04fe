// Every layer from one forward and one backward pass, by Grad-CAM.
{
  type: "decoded-layer-saliency",
  layer: "all",
  aggregation: { type: "grad-cam" },
  decoded_top_k: 3,
}
