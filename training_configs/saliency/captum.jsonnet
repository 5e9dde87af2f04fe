// One of Captum's methods at the embedding output: Thermostat's, with its settings.
{
  type: "captum",
  method: "ShapleyValueSampling",  // or DeepLift, InputXGradient, IntegratedGradients, KernelShap, Lime, ...
  arguments: { n_samples: 25 },
}
