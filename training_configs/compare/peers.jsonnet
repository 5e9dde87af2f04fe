// Other tools' scores, which benchmarks/peers.py has written to the folder PEERS for the TEXTS, beside ours, AllenNLP's
// and Captum's, and the way that each goes from random ranks to greedy ones. FOLDER is the Hugging Face classifier.
local peers = std.extVar("PEERS");
local names = [
  "SHAP, Partition",
  "transformers-interpret",
  "ferret, LIME",
  "ferret, Gradient",
  "ferret, Gradient (x Input)",
  "ferret, Integrated Gradient",
  "ferret, Integrated Gradient (x Input)",
];
local captum(method, arguments) = { type: "captum", method: method, arguments: arguments };

{
  archive_file: std.extVar("FOLDER"),
  data: { path: std.extVar("TEXTS") },
  metrics: ["comprehensiveness", "sufficiency", "seconds"],
  scores: ["signed"],
  reference: "default",
  interpreters: {
    random: "random",
    "greedy-comprehensiveness": "greedy-comprehensiveness",
    "greedy-sufficiency": "greedy-sufficiency",
    fast: { type: "decoded-layer-saliency", preset: "fast" },
    default: "decoded-layer-saliency",
    "20 steps": {
      type: "layer-saliency",
      layer: 0,
      aggregation: { type: "integrated-gradients", steps: 20, rule: "gauss-legendre" },
    },
    best: { type: "decoded-layer-saliency", preset: "best" },
    "simple-gradient": "simple-gradient",
    "integrated-gradient": "integrated-gradient",
    "smooth-gradient": "smooth-gradient",
    "Captum's layer integrated gradients, 50 steps": captum("IntegratedGradients", { n_steps: 50 })
                                                     + { baseline: "pad" },
    "Captum's Shapley sampling": captum("ShapleyValueSampling", { n_samples: 25 }),
  } + {
    [name]: { type: "scores-file", path: peers + "/" + name + ".jsonl" }
    for name in names
  },
}
