// Every setting of the layer interpreters that we know of, on training texts: which of them to report.
// ARCHIVE, DATA and READER name model, file and reader; LAYERS the layers, as JSON; TEXTS how many texts.
local layers = std.parseJson(std.extVar("LAYERS"));
local path_steps(steps) = { type: "integrated-gradients", steps: steps, rule: if steps == 1 then "midpoint" else "gauss-legendre" };
local aggregations = {
  norm: { type: "gradient-norm" },
  gxi: { type: "gradient-x-input" },
  cam: { type: "grad-cam" },
  ig1: path_steps(1),
  ig3: path_steps(3),
  ig10: path_steps(10),
};
local taus = { "1": 1, "10": 10, all: null };
local decodings = [
  { name: norm[0:5] + " τ=" + tau, normalise: norm, tau: taus[tau] }
  for norm in ["input", "vocabulary"]
  for tau in std.objectFields(taus)
];
local decoded(settings) = { type: "decoded-layer-saliency", layer: layers, decoded_top_k: 0 } + settings;

{
  archive_file: std.extVar("ARCHIVE"),
  data: {
    path: std.extVar("DATA"),
    reader: std.extVar("READER"),
    sample: std.parseInt(std.extVar("TEXTS")),
  },
  metrics: ["comprehensiveness", "sufficiency"],
  interpreters: {
    [name]: { type: "layer-saliency", layer: layers, aggregation: aggregations[name] }
    for name in std.objectFields(aggregations)
  } + {
    [name + " " + decoding.name]: decoded({
      aggregation: aggregations[name],
      normalise: decoding.normalise,
      tau: decoding.tau,
    })
    for name in std.objectFields(aggregations)
    for decoding in decodings
  } + {
    ["projected " + decoding.name]: {
      type: "projected-gradient-saliency",
      layer: layers,
      normalise: decoding.normalise,
      tau: decoding.tau,
      decoded_top_k: 0,
    }
    for decoding in decodings
  },
}
