// Layer integrated gradients, decoded: the blocks above the layer run once for each step.
{
  type: "decoded-layer-saliency",
  layer: -2,
  aggregation: {
    type: "integrated-gradients",
    // With { steps: 1, rule: "midpoint" } nearly as cheap as gradient-x-input.
    steps: 32,
    rule: "gauss-legendre",  // or "midpoint"
    baseline: "mask",  // or "zero"
  },
}
