// Another aggregation's mean over hidden states with Gaussian noise, decoded.
{
  type: "decoded-layer-saliency",
  layer: -2,
  aggregation: {
    type: "smooth-gradient",
    aggregation: { type: "gradient-x-input" },
    samples: 16,
    noise: 0.1,  // the noise's standard deviation, as a share of the hidden states' root mean square
    seed: 0,
  },
}
