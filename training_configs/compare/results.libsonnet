// The rows that docs/results reports: baselines, AllenNLP's interpreters, Captum's methods, gradients at one
// state, integrated gradients at the embeddings, and what the search left. All from one run, so that the costs
// can be compared.
local decoded(settings) = { type: "decoded-layer-saliency", tau: null } + settings;
local undecoded(layer, aggregation) = { type: "layer-saliency", layer: layer, aggregation: aggregation };
local path_steps(steps) = { type: "integrated-gradients", steps: steps, rule: "midpoint" };

function(data, metrics, rationales=null) {
  archive_file: std.extVar("ARCHIVE"),
  data: data,
  metrics: metrics,
  [if rationales != null then "rationales"]: rationales,
  scores: ["signed"],
  reference: "midpoint at 1, decoded",
  interpreters: {
    random: "random",
    "attention-rollout": "attention-rollout",
    "simple-gradient": "simple-gradient",
    "integrated-gradient": "integrated-gradient",
    "smooth-gradient": "smooth-gradient",
    "captum Occlusion": { type: "captum", method: "Occlusion" },
    "captum Lime": { type: "captum", method: "Lime" },
    "captum KernelShap": { type: "captum", method: "KernelShap" },
    "integrated gradients, 20 steps": undecoded(0, path_steps(20) + { rule: "gauss-legendre" }),
    "gradient-norm at 0": undecoded(0, "gradient-norm"),
    "gradient-x-input at 0": undecoded(0, "gradient-x-input"),
    "grad-cam at 0": undecoded(0, "grad-cam"),
    "gradient-norm at 1": undecoded(1, "gradient-norm"),
    "gradient-x-input at 1": undecoded(1, "gradient-x-input"),
    "grad-cam at 1": undecoded(1, "grad-cam"),
    "midpoint at 1, decoded": decoded({ layer: 1, aggregation: path_steps(1) }),
    "midpoint at 1, undecoded": undecoded(1, path_steps(1)),
    "3 midpoints at 0, decoded": decoded({ layer: 0, aggregation: path_steps(3) }),
    "gradient-x-input at 5, decoded": decoded({ layer: 5, aggregation: "gradient-x-input" }),
    "gradient-x-input at 5": undecoded(5, "gradient-x-input"),
  },
}
