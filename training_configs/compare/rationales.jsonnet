// Faithfulness and plausibility of the presets, AllenNLP's interpreters and twenty steps of integrated gradients, on
// texts or pairs that chose nothing. ARCHIVE, DATA (JSON lines) and INNER name model, file and the predictor that reads
// a line; TEXTS says how many; RATIONALES (JSON) are those that there are for them, or null.
local rationales = std.parseJson(std.extVar("RATIONALES"));

{
  archive_file: std.extVar("ARCHIVE"),
  inner: std.extVar("INNER"),
  data: { path: std.extVar("DATA"), sample: std.parseInt(std.extVar("TEXTS")) },
  metrics: ["comprehensiveness", "sufficiency", "seconds"]
           + (if rationales == null then [] else ["auprc", "token_f1", "iou_f1"]),
  [if rationales != null then "rationales"]: rationales,
  scores: ["signed"],
  reference: "integrated gradients, 20 steps",
  interpreters: {
    random: "random",
    "integrated gradients, 20 steps": {
      type: "layer-saliency",
      layer: 0,
      aggregation: { type: "integrated-gradients", steps: 20, rule: "gauss-legendre" },
    },
    fast: { type: "decoded-layer-saliency", preset: "fast", decoded_top_k: 0 },
    balanced: { type: "decoded-layer-saliency", preset: "balanced", decoded_top_k: 0 },
    best: { type: "decoded-layer-saliency", preset: "best", decoded_top_k: 0 },
    "gradient-x-input": { type: "layer-saliency", layer: 0, aggregation: "gradient-x-input" },
    "simple-gradient": "simple-gradient",
    "integrated-gradient": "integrated-gradient",
  },
}
